"""The cells of a CSV column as values. Pure.

A cell that is JSON is what it says: a number, `true`, a list. An empty one is missing. Any other is text.
"""

from collections.abc import Sequence
from typing import Any

from orjson import JSONDecodeError, loads

WORDS: dict[str, Any] = {"": None, "True": True, "False": False, "nan": None, "NaN": None, "None": None}
"""What pandas and Python write for what JSON has other words for."""


def values_of(cells: Sequence[str]) -> list[Any]:
    """N values from n cells of one column.

    >>> values_of(["1", "2.5"]), values_of(["01", "x,y", "", "[1,2]", "True"])
    ([1, 2.5], ['01', 'x,y', None, [1, 2], True])
    """
    joined = ",".join(cells)
    if joined.count(",") == len(cells) - 1:  # else a cell holds a comma, and cells could run together
        try:
            found: list[Any] = loads(f"[{joined}]")
        except JSONDecodeError:
            pass
        else:
            if len(found) == len(cells):
                return found
    return list(map(_value, cells))


def texts_of(cells: Sequence[str]) -> list[str | None]:
    """N texts from n cells; an empty one is missing."""
    return [cell or None for cell in cells]


def _value(cell: str) -> Any:
    if cell in WORDS:
        return WORDS[cell]
    try:
        return loads(cell)
    except JSONDecodeError:
        return cell
