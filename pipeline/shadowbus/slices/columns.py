"""Features of whatever kind as columns of numbers that a tree can split.

In: n rows of named JSON values. Out: a matrix, and for each column its meaning. A feature with numbers is one
column, not-a-number where there is none. A feature with texts (or truth values) has a column for each frequent one, 1
where it has that value, else 0. Names, texts and objects without end must not fill the memory: rare, long and nested
values have no column.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_FEATURES = 100
MOST_COLUMNS = 200
MOST_VALUES = 20
LONGEST = 100
LARGEST = 1e30
"""Numbers beyond that are not in the range that the tree reckons in."""


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """The meaning of a column: a feature's number, or, where `text` is not None, whether the feature is this text."""

    feature: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """N rows as a matrix, and its columns."""

    columns: tuple[FeatureColumn, ...]
    cells: NDArray[np.float64]


def table_of(rows: Sequence[Mapping[str, object]], fewest: int) -> FeatureTable:
    """The table of n rows.

    Args:
        rows: Values by feature name.
        fewest: A value that fewer rows have is no column.
    """
    named = Counter(name for row in rows for name in row if len(name) <= LONGEST)
    columns, cells = list[FeatureColumn](), list[NDArray[np.float64]]()
    for feature, _ in sorted(named.most_common(MOST_FEATURES)):
        values = [row.get(feature) for row in rows]
        numbers = np.fromiter(map(_number, values), np.float64, len(values))
        if np.isfinite(numbers).sum() >= fewest:
            columns.append(FeatureColumn(feature))
            cells.append(numbers)
        texts = list(map(_text, values))
        counted = Counter(text for text in texts if text is not None)
        for text, count in sorted(counted.most_common(MOST_VALUES)):
            if fewest <= count <= len(rows) - fewest:
                columns.append(FeatureColumn(feature, text))
                cells.append(np.fromiter((one == text for one in texts), np.float64, len(texts)))
    matrix = np.column_stack(cells[:MOST_COLUMNS]) if cells else np.empty((len(rows), 0))
    return FeatureTable(tuple(columns[:MOST_COLUMNS]), matrix)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return math.nan
    return float(value)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) and len(value) <= LONGEST else None
