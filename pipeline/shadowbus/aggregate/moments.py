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
        if not values.size:
            return cls()
        if weights is not None:
            mean = float(np.average(values, weights=weights))
            squares = float(weights @ (values - mean) ** 2)
            return cls(int(values.size), mean, squares, float((weights - 1.0).sum()))
        mean = float(values.mean())
        deviations = values - mean
        return cls(int(values.size), mean, float(deviations @ deviations))

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

    def to_record(self) -> dict[str, int | float]:
        """As it stands in a partial."""
        excess = {"excess": self.excess} if self.excess else {}
        return {"n": self.n, "mean": self.mean, "m2": self.m2, **excess}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(int(record["n"]), float(record["mean"]), float(record["m2"]), float(record.get("excess", 0.0)))
