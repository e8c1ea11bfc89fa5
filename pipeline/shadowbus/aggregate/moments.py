"""Count, mean and sum of squared deviations: what a mean and its interval need, mergeable."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """Of `n` values: their `mean`, and `m2`, the sum of squared deviations from it.

    Values that stand for several have weights: `excess` is the sum of `weight - 1`, and mean and m2 are weighted.

    Merged by Chan, Golub & LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".

    >>> Moments.of(np.array([1.0, 2.0])) + Moments.of(np.array([6.0]))
    Moments(n=3, mean=3.0, m2=14.0)
    >>> Moments() + Moments()
    Moments(n=0, mean=0.0, m2=0.0)
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    excess: float = field(default=0.0, repr=False)

    @classmethod
    def of(cls, values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Self:
        """Of a batch of finite values, with their weights (None: all 1)."""
        return cls.of_columns(values.reshape(1, -1), weights)[0]

    @classmethod
    def of_columns(cls, values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> list[Self]:
        """Of several columns at once, each of shape (n,) in an array of shape (columns, n); NaN is no value.

        Args:
            values: The columns.
            weights: Of the n records (None: all 1).
        """
        there = ~np.isnan(values)
        shares = there.astype(np.float64) if weights is None else there * weights
        filled, n, total = np.where(there, values, 0.0), there.sum(axis=1), shares.sum(axis=1)
        mean = (filled * shares).sum(axis=1) / np.maximum(total, 1.0)
        m2 = ((filled - mean[:, None]) ** 2 * shares).sum(axis=1)
        found = zip(n.tolist(), mean.tolist(), m2.tolist(), (total - n).tolist(), strict=True)
        return [cls(count, middle, squares, excess) if count else cls() for count, middle, squares, excess in found]

    @property
    def weight(self) -> float:
        """The sum of all weights."""
        return self.n + self.excess if self.excess else self.n

    def __add__(self, other: "Moments") -> "Moments":
        if not self.n or not other.n:
            return self if self.n else other
        mine, others = self.weight, other.weight
        both = mine + others
        delta = other.mean - self.mean
        return Moments(
            self.n + other.n,
            # Weighted, not shifted by a share of the difference: the same whichever side comes first.
            (mine * self.mean + others * other.mean) / both,
            self.m2 + other.m2 + delta * delta * (mine * others / both),
            self.excess + other.excess,
        )

    def __sub__(self, other: "Moments") -> "Moments":
        """What is left of these when others, all of them among these, are taken out."""
        if not other.n:
            return self
        left = self.weight - other.weight
        if self.n <= other.n or left <= 0:
            return Moments()
        mean = (self.weight * self.mean - other.weight * other.mean) / left
        delta = other.mean - mean
        m2 = self.m2 - other.m2 - delta * delta * (left * other.weight / self.weight)
        return Moments(self.n - other.n, mean, max(0.0, m2), self.excess - other.excess)

    def to_record(self) -> dict[str, int | float]:
        """As it stands in a partial."""
        excess = {"excess": self.excess} if self.excess else {}
        return {"n": self.n, "mean": self.mean, "m2": self.m2, **excess}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(int(record["n"]), float(record["mean"]), float(record["m2"]), float(record.get("excess", 0.0)))
