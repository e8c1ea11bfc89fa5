"""How each column of a text file is read: found out once, from its first rows, then the same for all its cells. Pure.

A cell that does not fit is no reason to read the others otherwise: its row is set aside, with the cell in the reason.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from orjson import JSONDecodeError, loads

from shadowbus.backtest.cells.numbers import COMMAS_FIRST, STYLES, Style, is_number, numbers_of
from shadowbus.settings.backtest import BacktestSettings

MISSING_TEXTS = frozenset({"", "nan", "NaN", "null", "NULL", "None", "<NA>", "NaT", "\\N", "#N/A"})
"""What nobody means as a value: missing in every column."""

MISSING_NUMBERS = MISSING_TEXTS | {"NA", "N/A", "n/a", "na", "-", "--", ".", "NAN", "Null", "none", "#NA", "-nan", "?"}
"""What also means missing among numbers, truth values and times, where it cannot be a value."""

FITS = 0.8
"""A column is what at least so many of its first cells are: a row that is set aside is told of, a number that is
read as text is not."""

SOME = 0.2
"""Of a column of text it is told when at least so many cells are numbers."""

_CODE = re.compile(r"[+-]?(?:0\d+|\d{20,})")
_TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
_POSTGRES_TRUTH = {"t": True, "f": False}

Read = tuple[list[Any], Mapping[int, str]]
"""N values, and the cells that do not fit, by index."""


@dataclass(frozen=True, slots=True)
class CellType:
    """How a column is read: in words, and the function that does it."""

    says: str
    read: Callable[[Sequence[str]], Read]


def cell_types(
    columns: Mapping[str, Sequence[str]],
    settings: BacktestSettings,
    names: AbstractSet[str] = frozenset(),
    *,
    semicolons: bool,
) -> dict[str, CellType]:
    """How each column is read.

    Args:
        columns: The first cells of each.
        settings: `text`, `numbers`, `decimal`, `thousands` and `missing` say otherwise than the cells.
        names: Columns whose texts name something, as classes do: spaces around these are nothing.
        semicolons: Whether semicolons stand between cells, as where commas are decimal.
    """
    missing_text, missing_number = _missing(settings)
    counted = {name: Counter(map(str.strip, cells)) for name, cells in columns.items()}
    present = {
        name: Counter({cell: count for cell, count in cells.items() if cell not in missing_number})
        for name, cells in counted.items()
    }
    styles = _styles(present, settings, semicolons=semicolons)

    def one(name: str) -> CellType:
        cells = present[name]
        total = cells.total()
        text = CellType("text", _texts(missing_text, stripped=name in names))
        if name in settings.text:
            return text
        style, fitting = styles[name]
        if name in settings.numbers or (fitting and fitting >= FITS * total and not _codes(cells)):
            return CellType(style.says(), lambda cells: numbers_of(cells, style, missing_number))
        if not total and set(counted[name]) <= missing_text:
            return CellType("empty in its first rows", _nothing(missing_number))
        for truths in (_TRUTH, _POSTGRES_TRUTH):
            if total and sum(cells[word] for word in truths) >= FITS * total:
                return CellType("truth value", _truths(truths, missing_number))
        if total and sum(count for cell, count in cells.items() if structure(cell) is not None) >= FITS * total:
            return CellType("JSON", _structures(missing_text))
        if _codes(cells):
            return CellType("text, since codes have leading zeros", text.read)
        share = fitting / total if total else 0.0
        return CellType(f"text, though {share:.0%} of its cells are numbers", text.read) if share >= SOME else text

    return {name: one(name) for name in columns}


def _missing(settings: BacktestSettings) -> tuple[frozenset[str], frozenset[str]]:
    if not settings.missing:
        return MISSING_TEXTS, MISSING_NUMBERS
    words = frozenset(settings.missing) | {""}
    return words, words


def _styles(
    present: Mapping[str, Counter[str]], settings: BacktestSettings, *, semicolons: bool
) -> dict[str, tuple[Style, int]]:
    """Of each column the style that fits most of its cells, and how many; `1,234` alone is what other columns say."""
    fits = {name: {style: _fitting(cells, style) for style in STYLES} for name, cells in present.items()}
    votes: Counter[str] = Counter(filter(None, map(_decimal_of, fits.values())))
    commas = votes[","] > votes["."] or (semicolons and not votes["."])
    order = [
        style
        for style in (COMMAS_FIRST if commas else STYLES)
        if settings.decimal in ("", style.decimal) and settings.thousands in ("", style.thousands)
    ]
    if settings.thousands:
        order += [
            style for style in STYLES if style.decimal == (settings.decimal or style.decimal) and not style.thousands
        ]
    best = {name: max(order, key=lambda style: found[style]) for name, found in fits.items()}
    return {name: (style, fits[name][style]) for name, style in best.items()}


def _fitting(cells: Counter[str], style: Style) -> int:
    return sum(count for cell, count in cells.items() if is_number(cell, style))


def _decimal_of(fits: Mapping[Style, int]) -> str:
    """The decimal sign of a column whose cells leave no choice; "" where they do."""
    best = {sign: max(count for style, count in fits.items() if style.decimal == sign) for sign in ".,"}
    return "" if best["."] == best[","] else max(best, key=lambda sign: best[sign])


def _codes(cells: Counter[str]) -> bool:
    return any(map(_CODE.fullmatch, cells))


def _texts(missing: frozenset[str], *, stripped: bool) -> Callable[[Sequence[str]], Read]:
    def read(cells: Sequence[str]) -> Read:
        texts = list(map(str.strip, cells)) if stripped else cells
        return [None if text in missing else text for text in texts], {}

    return read


def _nothing(missing: frozenset[str]) -> Callable[[Sequence[str]], Read]:
    return lambda cells: (
        [None] * len(cells),
        {index: cell for index, cell in enumerate(cells) if cell.strip() not in missing},
    )


def _truths(truths: Mapping[str, bool], missing: frozenset[str]) -> Callable[[Sequence[str]], Read]:
    def read(cells: Sequence[str]) -> Read:
        values = list(map(truths.get, cells))
        if None not in values:
            return values, {}
        values = [truths.get(cell.strip()) for cell in cells]
        both = enumerate(zip(values, cells, strict=True))
        return values, {index: cell for index, (value, cell) in both if value is None and cell.strip() not in missing}

    return read


def _structures(missing: frozenset[str]) -> Callable[[Sequence[str]], Read]:
    def read(cells: Sequence[str]) -> Read:
        values = list(map(structure, cells))
        both = enumerate(zip(values, cells, strict=True))
        return values, {index: cell for index, (value, cell) in both if value is None and cell.strip() not in missing}

    return read


def structure(cell: str) -> list[Any] | dict[str, Any] | None:
    """A list or an object, as JSON or as Python writes it."""
    if not cell.lstrip().startswith(("[", "{")):
        return None
    for read in (loads, ast.literal_eval):
        try:
            found = read(cell.strip())
        except (JSONDecodeError, ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, list | dict):
            return found
    return None
