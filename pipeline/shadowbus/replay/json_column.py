"""A column of values as JSON texts."""

from collections.abc import Sequence
from itertools import chain
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
    if kinds == {list} and all(values) and set(map(type, chain.from_iterable(values))) <= _SIMPLE:
        return [b"[%b]" % text for text in dumps(values)[2:-2].split(b"],[")]
    return list(map(dumps, values))
