"""A rule that a person can read, and that says exactly which rows a node of the tree holds.

In: the splits on the way to a node. Out: one condition for each column among them, to be joined with "and". Of all
numbers that cut the rows at hand alike, a rule names the one with the fewest digits.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shadowbus.slices.columns import FeatureColumn, FeatureTable


@dataclass(frozen=True, slots=True)
class Split:
    """One step down the tree: in which column, at which number, to which side, and whether rows without go along."""

    column: int
    at: float
    right: bool
    with_missing: bool


@dataclass(slots=True)
class Condition:
    """What the splits of one column together ask for: above `low`, up to `high`, and whether missing ones count."""

    column: FeatureColumn
    low: float = -math.inf
    high: float = math.inf
    missing: bool = True
    gaps: bool = field(default=False)

    def add(self, split: Split, at: float) -> None:
        """One more split of this column."""
        if split.right:
            self.low = max(self.low, at)
        else:
            self.high = min(self.high, at)
        self.missing = self.missing and split.with_missing

    def text(self) -> str:
        """The condition in words.

        >>> Condition(Column("country", "DE"), low=0.5, missing=False).text()
        'country = DE'
        >>> Condition(Column("amount"), 100, 120.5, missing=True, gaps=True).text()
        '(100 < amount <= 120.5 or amount is missing)'
        """
        name = self.column.feature
        if self.column.text is not None:
            return f"{name} = {self.column.text}" if self.low > 0 else f"{name} is not {self.column.text}"
        if self.low == math.inf:
            return f"{name} is missing"
        if self.low > -math.inf and self.high < math.inf:
            within = f"{self.low:.15g} < {name} <= {self.high:.15g}"
        elif self.low > -math.inf:
            within = f"{name} > {self.low:.15g}"
        else:
            within = f"{name} <= {self.high:.15g}" if self.high < math.inf else f"{name} is a number"
        return f"({within} or {name} is missing)" if self.gaps and self.missing else within

    def record(self) -> dict[str, object]:
        """The condition as plain data."""
        if self.column.text is not None:
            return {"feature": self.column.feature, "is" if self.low > 0 else "is_not": self.column.text}
        ends = {"above": self.low, "up_to": self.high}
        finite = {name: end for name, end in ends.items() if math.isfinite(end)}
        numbers = self.low < math.inf
        return {"feature": self.column.feature, **finite, "numbers": numbers, "missing": self.gaps and self.missing}


def conditions_of(splits: Iterable[Split], table: FeatureTable) -> list[Condition]:
    """The conditions that these splits of a table amount to, in the order in which their columns come first."""
    found: dict[int, Condition] = {}
    for split in splits:
        cells = table.cells[:, split.column]
        if split.column not in found:
            gaps = bool(np.isnan(cells).any())
            found[split.column] = Condition(table.columns[split.column], gaps=gaps)
        found[split.column].add(split, _short(split.at, cells))
    return list(found.values())


def _short(at: float, cells: NDArray[np.float64]) -> float:
    """The number with the fewest digits that cuts these cells as the tree does, which compares in single precision."""
    if not math.isfinite(at):
        return at
    known = cells[~np.isnan(cells)]
    below = known.astype(np.float32) <= at
    low, high = known[below].max(initial=-math.inf), known[~below].min(initial=math.inf)
    for digits in range(1, 17):
        short = float(f"{at:.{digits}g}")
        if low <= short < high:
            return short
    return float(low) if math.isfinite(low) else at
