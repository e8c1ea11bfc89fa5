"""Counts by names: how often each combination of a few names came, exact, and exact again when some are taken back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Cell = tuple[str, ...]
OTHER = "(other)"
"""The name of whatever is not counted under a name of its own."""

Weighted = Mapping[Cell, float]
"""The weight of each cell."""

Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class ContingencyTable:
    """Plain counts by cell, and the sum of `weight - 1` over what a cell counts, where weights are not all 1.

    Weights have to be multiples of 2^-20, so that sums are exact in any order, and what is taken back is gone.

    >>> seen = ContingencyTable({("yes", "no"): 2, ("no", "no"): 1})
    >>> seen.absorb(ContingencyTable({("yes", "no"): -2}))
    >>> seen.counts, seen.total
    ({('no', 'no'): 1}, 1)
    """

    counts: dict[Cell, int] = field(default_factory=dict)
    excess: dict[Cell, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        codes: Sequence[NDArray[np.int64]],
        names: Sequence[str],
        signs: NDArray[np.float64] | None,
        weights: NDArray[np.float64] | None,
    ) -> Self:
        """The table of n records.

        Args:
            codes: For each axis n positions in `names`.
            names: What they stand for.
            signs: 1 for what is added, -1 for what is taken back; None: all 1.
            weights: None: all 1.
        """
        if not codes[0].size:
            return cls()
        size, flat = len(names), codes[0]
        for axis in codes[1:]:
            flat = flat * size + axis
        if len(codes) > 2:  # more cells than records, usually
            present, flat = np.unique(flat, return_inverse=True)
        else:
            present = None
        counts = np.bincount(flat, signs)
        found = cls(dict(_cells(counts, present, names, len(codes), whole=True)))
        if weights is not None:
            more = np.bincount(flat, (weights - 1.0) if signs is None else (weights - 1.0) * signs)
            found.excess = dict(_cells(more, present, names, len(codes), whole=False))
        return found

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(self.counts.values())

    def weight(self, cell: Cell) -> float:
        """The weight of a cell: its count plus the excess."""
        return self.counts.get(cell, 0) + self.excess.get(cell, 0.0)

    def weights(self) -> dict[Cell, float]:
        """The weight of every cell."""
        return {cell: self.weight(cell) for cell in self.counts.keys() | self.excess.keys()}

    def margin(self, axis: int) -> dict[str, int]:
        """Plain counts by the names of one axis."""
        sums: dict[str, int] = {}
        for cell, count in self.counts.items():
            sums[cell[axis]] = sums.get(cell[axis], 0) + count
        return sums

    def absorb(self, other: "ContingencyTable") -> None:
        """Add another table to this one; the other stays as it is."""
        _add(self.counts, other.counts)
        if other.excess:
            _add(self.excess, other.excess)

    def __bool__(self) -> bool:
        return bool(self.counts or self.excess)

    def to_record(self) -> list[list[Any]]:
        """One list for each cell: its names, the count, and the excess where there is one."""
        rows: list[list[Any]] = []
        for cell in sorted(self.counts.keys() | self.excess.keys()):
            more = [self.excess[cell]] if cell in self.excess else []
            rows.append([*cell, self.counts.get(cell, 0), *more])
        return rows

    @classmethod
    def from_record(cls, rows: list[list[Any]], axes: int) -> Self:
        """Read it back.

        Raises:
            IndexError, TypeError, ValueError: It is not a table with that number of axes.
        """
        found = cls()
        for row in rows:
            cell = tuple(str(name) for name in row[:axes])
            if count := int(row[axes]):
                found.counts[cell] = count
            if len(row) > axes + 1:
                found.excess[cell] = float(row[axes + 1])
        return found


def f1_of(truth: Weighted, event: str | None) -> float | None:
    """F1: twice the right ones over all that were said and all that were so.

    Van Rijsbergen (1979), *Information Retrieval*.

    Args:
        truth: Label by answer.
        event: The class it is of. None: the mean over all classes that were a label or an answer, but `(other)`.

    Returns:
        From 0 to 1; None where none of these classes was seen.

    >>> f1_of({("1", "1"): 8, ("0", "1"): 2, ("1", "0"): 2, ("0", "0"): 88}, "1")
    0.8
    """
    names = {name for cell in truth for name in cell} - {OTHER} if event is None else {event}
    rights = {name: truth.get((name, name), 0.0) for name in names}
    seen = dict.fromkeys(names, 0.0)
    for cell, weight in truth.items():
        for name in cell:
            if name in seen:
                seen[name] += weight
    scores = [2 * rights[name] / seen[name] for name in sorted(names) if seen[name] > 0]
    return sum(scores) / len(scores) if scores else None


def event_of(*tables: Weighted) -> str | None:
    """The event: of two classes the one whose name comes last. None when there are not two.

    >>> event_of({("no", "yes"): 1.0}), event_of({("a", "b"): 1.0, ("c", "c"): 1.0})
    ('yes', None)
    """
    names = {name for table in tables for cell in table for name in cell}
    return max(names) if len(names) == 2 and OTHER not in names else None


def _add(into: dict[Cell, Number], more: dict[Cell, Number]) -> None:
    for cell, number in more.items():
        total = into.get(cell, 0) + number
        if total:
            into[cell] = total
        else:
            into.pop(cell, None)


def _cells(
    sums: NDArray[Any], present: NDArray[np.int64] | None, names: Sequence[str], axes: int, *, whole: bool
) -> Iterator[tuple[Cell, Any]]:
    size = len(names)
    for at in np.flatnonzero(sums).tolist():
        code, cell = at if present is None else int(present[at]), []
        for _ in range(axes):
            code, position = divmod(code, size)
            cell.append(names[position])
        yield tuple(reversed(cell)), int(sums[at]) if whole else float(sums[at])
