"""How things look: tables and lines for people, with colours on terminals only.

Whatever came out of a record is foreign: it is shown through `clean` and as `Text`, never as markup.
"""

import json
import re
import sys
import unicodedata

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 160
"""Columns where there is no terminal to ask."""

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, clearing
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]"
)
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def clean(text: str) -> str:
    r"""Text on one line that cannot steer a terminal: no escape sequences, no control or direction characters.

    >>> clean("\x1b[31mred\x1b[0m\nnext")
    'red next'
    """
    plain = _ESCAPES.sub("", text)
    return "".join(
        character if unicodedata.category(character) not in _INVISIBLE else " " if character in "\t\r\n" else ""
        for character in plain
    )


def cell(value: object, style: str = "") -> Text:
    """A foreign value, shown as it is and nothing more."""
    return Text("" if value is None else clean(str(value)), style=style)


def table(title: str, *columns: str) -> Table:
    """An empty table with these columns."""
    empty = Table(title=title or None, title_justify="left", title_style="bold", pad_edge=False, box=None)
    for column in columns:
        empty.add_column(column, header_style="bold", overflow="fold")
    return empty


def output() -> Console:
    """Where data go: stdout."""
    return Console(file=sys.stdout, highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH)


def tell(sentence: str) -> None:
    """Say something on stderr that is not data."""
    sys.stderr.write(f"{clean(sentence)}\n")


def emit(line: str) -> None:
    """Write one line of data to stdout, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def emit_json(document: object) -> None:
    """Write a document as one line of JSON."""
    emit(as_line(document))


def as_line(document: object) -> str:
    r"""A document as one line of JSON in which everything beyond printable ASCII is escaped: safe on a terminal too.

    Args:
        document: Bytes of JSON, or what orjson can write.

    >>> as_line(b'{"a":\n "\xe2\x80\xae\x7f"}')
    '{"a":"\\u202e\\u007f"}'
    """
    value = document if isinstance(document, bytes) else orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    return json.dumps(orjson.loads(value), separators=(",", ":")).replace("\x7f", "\\u007f")
