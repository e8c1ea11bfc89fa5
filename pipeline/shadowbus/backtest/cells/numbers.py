"""Numbers as files write them: `26461.53`, `26,461.53`, `26.461,53`, `26 461,53`, `26'461.53`, `3,5`. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from orjson import JSONDecodeError, loads

SPACES = " \u00a0\u202f\u2009"
"""Between thousands: the plain one, and those that do not break a line."""

_NUMBERS = {int, float, type(None)}
_LONGEST_INTEGER = 2**63


class Style(NamedTuple):
    """The signs that one column writes its numbers with; no sign between thousands is ""."""

    decimal: str = "."
    thousands: str = ""

    def says(self) -> str:
        """How it is told."""
        signs = ["decimal commas"] if self.decimal == "," else []
        signs += [f"{_SIGNS[self.thousands]} between thousands"] if self.thousands else []
        return f"number with {' and '.join(signs)}" if signs else "number"


_SIGNS = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
PLAIN = Style()
STYLES = (PLAIN, *(Style(".", sign) for sign in ", '"), Style(","), *(Style(",", sign) for sign in ". '"))
"""All that are known; of styles that fit a column alike the first is taken."""

COMMAS_FIRST = tuple(sorted(STYLES, key=lambda style: style.decimal == "."))
"""In the order for files that write decimal commas elsewhere."""


def _pattern(style: Style) -> re.Pattern[str]:
    point, sign = re.escape(style.decimal), {" ": f"[{SPACES}]", "'": "['\u2019]"}.get(style.thousands)
    whole = r"(?:0|[1-9]\d*)"
    if style.thousands:
        between = sign or re.escape(style.thousands)
        grouped = rf"[1-9]\d{{0,2}}(?:{between}\d{{2,3}})*{between}\d{{3}}"  # twos: India's lakhs and crores
        whole = rf"(?:{grouped}|{whole})"
    return re.compile(rf"[+\-\u2212]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?")


_PATTERNS = {style: _pattern(style) for style in STYLES}
_TO_PYTHON = {
    style: str.maketrans({"\u2212": "-", ",": "." if style.decimal == "," else None}
                         | dict.fromkeys(f"{SPACES}'\u2019")
                         | ({".": None} if style.thousands == "." else {}))
    for style in STYLES
}  # fmt: skip


def is_number(cell: str, style: Style) -> bool:
    """Whether a cell is a number, so written.

    >>> [is_number("1,234", Style(".", ",")), is_number("0,123", Style(".", ",")), is_number("007", PLAIN)]
    [True, False, False]
    """
    return _PATTERNS[style].fullmatch(cell) is not None


def numbers_of(
    cells: Sequence[str], style: Style, missing: AbstractSet[str]
) -> tuple[list[int | float | None], Mapping[int, str]]:
    """N numbers from n cells of one column, and the cells that are none, by index.

    >>> numbers_of(["1", "2.5", "", "soon"], PLAIN, {""})
    ([1, 2.5, None, None], {3: 'soon'})
    >>> numbers_of(["26.461,53", "+3", "1e3"], Style(",", "."), {""})
    ([26461.53, 3, 1000.0], {})
    """
    if style is PLAIN:
        for tried in (cells, ["null" if cell in missing else cell for cell in cells]):
            if (found := _all_at_once(tried)) is not None:
                return found, {}
    numbers: list[int | float | None] = []
    unfit: dict[int, str] = {}
    for index, cell in enumerate(cells):
        number = None if cell in missing else _number(cell.strip(), style)
        if number is None and cell not in missing and cell.strip() not in missing:
            unfit[index] = cell
        numbers.append(number)
    return numbers, unfit


def _all_at_once(cells: Sequence[str]) -> list[Any] | None:
    """JSON reads a list of numbers much faster than Python reads them one by one."""
    joined = ",".join(cells)
    if joined.count(",") != len(cells) - 1:  # a cell holds a comma, and cells could run together
        return None
    try:
        found: list[Any] = loads(f"[{joined}]")
    except JSONDecodeError:
        return None
    return found if len(found) == len(cells) and set(map(type, found)) <= _NUMBERS else None


def _number(cell: str, style: Style) -> int | float | None:
    if not is_number(cell, style):
        return None
    text = cell.translate(_TO_PYTHON[style])
    try:
        whole = int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else None
    return whole if abs(whole) < _LONGEST_INTEGER else float(whole)
