"""Count, mean and sum of squared deviations: what a mean and its interval need, mergeable without rounding."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.statistics.exact_sum import UNIT_BITS, Addends, from_pieces, pieces, units

_ONE = 1 << UNIT_BITS


@dataclass(frozen=True, slots=True)
class Moments:
    """Of `n` values: their exact sum and the exact sum of their squares, both in units of `exact_sum.py`.

    Values that stand for several have weights: `excess` is the sum of `weight - 1`, and a value's part in both sums is
    its product with the weight, rounded once. Since nothing is rounded when such parts are added, moments are the same,
    to the last bit, however the values came: in whatever order, in one batch or many.

    >>> whole = Moments.of(np.array([1.0, 2.0])) + Moments.of(np.array([6.0]))
    >>> whole.n, whole.mean, whole.m2
    (3, 3.0, 14.0)
    >>> Moments() + Moments()
    Moments(n=0)
    """

    n: int = 0
    total: int = field(default=0, repr=False)
    squares: int = field(default=0, repr=False)
    excess: float = field(default=0.0, repr=False)

    @classmethod
    def of(cls, values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> "Moments":
        """The moments of a batch of finite values, with their weights (None: all 1)."""
        return cls.of_columns(values.reshape(1, -1), weights)[0]

    @classmethod
    def of_columns(cls, values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> "list[Moments]":
        """The moments of several columns, each of shape (n,) in an array of shape (columns, n); NaN is no value.

        Args:
            values: The columns.
            weights: The weights of the n records (None: all 1), multiples of 2^-20.
        """
        return Values.of(values, weights).moments(np.arange(values.shape[1]))

    @property
    def weight(self) -> float:
        """The sum of all weights."""
        return self.n + self.excess if self.excess else self.n

    @property
    def mean(self) -> float:
        """The weighted mean, rounded once; 0 of no values."""
        over, under = self.weight.as_integer_ratio()
        return self.total * under / (over * _ONE) if over else 0.0

    @property
    def m2(self) -> float:
        """The weighted sum of squared deviations from the mean, rounded once; 0 of no values."""
        over, under = self.weight.as_integer_ratio()
        if not over:
            return 0.0
        return max(0, self.squares * over * _ONE - self.total * self.total * under) / (over * _ONE * _ONE)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n, self.total + other.total, self.squares + other.squares, self.excess + other.excess
        )

    def __sub__(self, other: "Moments") -> "Moments":
        """What is left of these when others, all of them among these, are taken out."""
        if self.n <= other.n or self.weight <= other.weight:
            return Moments()
        return Moments(
            self.n - other.n, self.total - other.total, self.squares - other.squares, self.excess - other.excess
        )

    def __bool__(self) -> bool:
        return self.n > 0

    def to_record(self) -> dict[str, Any]:
        """The form in a partial: what people read, and both sums as floats that add up to them."""
        excess = {"excess": self.excess} if self.excess else {}
        exact = {"sum": pieces(self.total), "squares": pieces(self.squares)} if self.n else {}
        return {"n": self.n, "mean": self.mean, "m2": self.m2, **exact, **excess}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read it back; of an older writer's, which has no sums, what they must have been."""
        n, excess = int(record["n"]), float(record.get("excess", 0.0))
        mean, m2 = float(record["mean"]), float(record["m2"])
        if "sum" in record or not n:
            return cls(n, from_pieces(record.get("sum", ())), from_pieces(record.get("squares", ())), excess)
        weight = n + excess
        return cls(n, units(mean * weight), units(m2 + mean * mean * weight), excess)


@dataclass(frozen=True, slots=True)
class Values:
    """Columns of values, prepared once so that any of their rows can be added up.

    Attributes:
        there: Shape (columns, n): whether there is a value.
        addends: Of the columns with any value, those times their weights, and then their squares times their weights.
        used: Which columns those are.
        excess: The weight of each row minus 1. None: all 0.
    """

    there: NDArray[np.bool_]
    addends: Addends
    used: NDArray[np.int64]
    excess: NDArray[np.float64] | None

    @classmethod
    def of(cls, values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> Self:
        """From an array of shape (columns, n); NaN is no value, and weights are multiples of 2^-20 (None: all 1)."""
        there = ~np.isnan(values)
        used = np.flatnonzero(there.any(axis=1))
        filled = np.where(there[used], values[used], 0.0)
        shares = filled if weights is None else filled * weights
        addends = Addends.of(np.concatenate((shares, shares * filled)))
        return cls(there, addends, used, None if weights is None else weights - 1.0)

    def moments(self, rows: NDArray[np.int64]) -> list[Moments]:
        """The moments of some rows, for each column."""
        found = [Moments()] * len(self.there)
        if not self.used.size or not rows.size:
            return found
        there, totals = self.there[self.used][:, rows], self.addends.sums(rows)
        counts = there.sum(axis=1).tolist()
        more = [0.0] * len(counts) if self.excess is None else (there * self.excess[rows]).sum(axis=1).tolist()
        for place, column in enumerate(self.used.tolist()):
            if counts[place]:
                sums = totals[place], totals[place + len(counts)]
                found[column] = Moments(counts[place], *sums, more[place])
        return found


@dataclass(slots=True)
class CorrectedMoments:
    """All values that were ever added, and apart from them those that were taken back again.

    Both only grow, and what is left is their difference, which is exact as they are.

    >>> import numpy as np
    >>> some = CorrectedMoments(Moments.of(np.array([1.0, 2.0, 6.0])))
    >>> some.absorb(CorrectedMoments(taken=Moments.of(np.array([6.0]))))
    >>> some.n, some.mean, some.m2
    (2, 1.5, 0.5)
    """

    given: Moments = field(default_factory=Moments)
    taken: Moments = field(default_factory=Moments)

    @property
    def left(self) -> Moments:
        """The moments of what was not taken back."""
        return self.given - self.taken if self.taken.n else self.given

    @property
    def n(self) -> int:
        """How many values are left."""
        return self.given.n - self.taken.n

    @property
    def mean(self) -> float:
        """Their weighted mean."""
        return self.left.mean

    @property
    def m2(self) -> float:
        """The sum of their squared deviations from it."""
        return self.left.m2

    @property
    def weight(self) -> float:
        """The sum of their weights."""
        return self.left.weight

    def absorb(self, other: "CorrectedMoments") -> None:
        """Add the other's values to these; the other stays as it is."""
        if other.given.n:
            self.given = self.given + other.given
        if other.taken.n:
            self.taken = self.taken + other.taken

    def __bool__(self) -> bool:
        return bool(self.given.n or self.taken.n)

    def to_record(self) -> dict[str, Any]:
        """The form in a partial."""
        taken = {"taken": self.taken.to_record()} if self.taken.n else {}
        return {**self.given.to_record(), **taken}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back."""
        taken = record.get("taken")
        return cls(Moments.from_record(record), Moments() if taken is None else Moments.from_record(taken))
