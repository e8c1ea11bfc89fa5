r"""A queue's rows as cells of a CSV file that does nothing but hold them.

A request id may come from a client's header, and the file is opened in spreadsheets and shown on terminals. Everything
but numbers is JSON text, in ASCII, which begins with a quotation mark or a bracket and so is no formula and no escape
sequence. A request id is the one exception, so that it can be used as it is: it is JSON text only where it would be
worked out or obeyed, or begins with a quotation mark itself. `request_id` has it back.
"""

import json
from typing import Any

FORMULA = ("=", "+", "-", "@", "'", '"', "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell must not begin with; spreadsheets also take the wide forms, and swallow a first apostrophe."""


def id_cell(request_id: str) -> str:
    r"""A request id as a cell.

    >>> id_cell("r-17"), id_cell("=cmd|' /C calc'!A0"), id_cell("a\x1b[2J"), id_cell("ü")
    ('r-17', '"=cmd|\' /C calc\'!A0"', '"a\\u001b[2J"', 'ü')
    """
    plain = request_id.isprintable() and request_id == request_id.strip() and not request_id.startswith(FORMULA)
    return request_id if plain else json_cell(request_id)


def request_id(cell: str) -> str:
    r"""The request id that is in a cell.

    >>> request_id('"=cmd"'), request_id("r-17")
    ('=cmd', 'r-17')
    """
    return str(json.loads(cell)) if cell.startswith('"') else cell


def json_cell(value: Any) -> str:
    r"""Any other value as a cell, or a line.

    >>> json_cell("\x7f\u202e")
    '"\\u007f\\u202e"'
    """
    return json.dumps(value).replace("\x7f", "\\u007f")
