"""Count, mean and sum of squared deviations: what a mean and its interval need, mergeable."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """Of `n` values: their `mean`, and `m2`, the sum of squared deviations from it.

    Merged by Chan, Golub & LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".

    >>> Moments.of(np.array([1.0, 2.0])) + Moments.of(np.array([6.0]))
    Moments(n=3, mean=3.0, m2=14.0)
    >>> Moments() + Moments()
    Moments(n=0, mean=0.0, m2=0.0)
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Of a batch of finite values."""
        if not values.size:
            return cls()
        mean = float(values.mean())
        deviations = values - mean
        return cls(int(values.size), mean, float(deviations @ deviations))

    def __add__(self, other: "Moments") -> "Moments":
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        delta = other.mean - self.mean
        return Moments(
            n,
            # Weighted, not shifted by a share of the difference: the same whichever side comes first.
            (self.n * self.mean + other.n * other.mean) / n,
            self.m2 + other.m2 + delta * delta * (self.n * other.n / n),
        )

    def to_record(self) -> dict[str, int | float]:
        """As it stands in a partial."""
        return {"n": self.n, "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(int(record["n"]), float(record["mean"]), float(record["m2"]))
