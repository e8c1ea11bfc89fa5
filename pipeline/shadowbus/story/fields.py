"""Fields of records that others have written: what has not the wanted type is not there."""

import math
from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Any]


def number(table: Table, name: str) -> float | None:
    """A finite number.

    >>> number({"a": 1, "b": "1", "c": True}, "a"), number({"b": "1"}, "b"), number({"c": True}, "c")
    (1.0, None, None)
    """
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(table: Table, name: str) -> int:
    """How many; 0 where nothing is said.

    >>> count({"n": 7}, "n"), count({}, "n")
    (7, 0)
    """
    value = number(table, name)
    return 0 if value is None else int(value)


def section(table: Table, name: str) -> Table:
    """An object inside of an object; empty where there is none."""
    value = table.get(name)
    return value if isinstance(value, Mapping) else {}


def words(table: Table, name: str) -> str:
    """A text; empty where there is none."""
    value = table.get(name)
    return value if isinstance(value, str) else ""


def sequence(table: Table, name: str) -> list[Any]:
    """A list; empty where there is none."""
    value = table.get(name)
    return list(value) if isinstance(value, list | tuple) else []
