"""A column of values as JSON texts."""

from collections.abc import Sequence
from typing import Any

from orjson import dumps

_SIMPLE = {int, float, bool, type(None)}


def json_column(values: Sequence[Any]) -> list[bytes]:
    """Each of n values as JSON; written as one array and cut where nothing but a cut can look like one.

    >>> json_column([1, None, 2.5])
    [b'1', b'null', b'2.5']
    >>> json_column([[0.5, 0.5], [1.0, 0.0]])
    [b'[0.5,0.5]', b'[1.0,0.0]']
    """
    kinds = set(map(type, values))
    if kinds <= _SIMPLE and values:
        return dumps(values)[1:-1].split(b",")
    if kinds == {list}:
        text = dumps(values)
        if text.count(b"[") == len(values) + 1 and b'"' not in text and b"{" not in text:  # no lists in lists, no texts
            return text[1:-1].replace(b"],[", b"]\n[").split(b"\n")
    return list(map(dumps, values))
