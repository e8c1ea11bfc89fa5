"""What sampling adds to plain counts: of how many requests the counted ones speak.

Where replay takes a share of the requests only, each comparison has the weight one over that share. A rate is then the
weights of those it holds for over the weights of all, which is unbiased even while share and rate change together.
Kept as the excess over the plain counts: nothing where every weight is 1, so that such totals stay plain integers.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FINEST = 1 << 20
"""Scaled counts are multiples of one over this, so that parts add up to their whole exactly, in any order."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """By counter the sum of `weight - 1` over what it counts (None: all 0), and the largest weight of any record."""

    excess: NDArray[np.float64] | None = None
    heaviest: float = 1.0

    @classmethod
    def of(cls, counts: NDArray[np.int64], weights: NDArray[np.float64]) -> Self:
        """Of n records: their rows of counts, and their weights."""
        heaviest = float(weights.max(initial=1.0))
        return cls((weights - 1.0) @ counts, heaviest) if heaviest > 1.0 else cls()

    def __add__(self, other: "Weights") -> "Weights":
        if self.excess is None or other.excess is None:
            return other if self.excess is None else self
        return Weights(self.excess + other.excess, max(self.heaviest, other.heaviest))

    def scaled(self, counts: NDArray[np.int64]) -> list[float]:
        """Counts that have the weighted proportions, and no more evidence than there is.

        Each weight is divided by the heaviest. A record then counts for 1 at most, which keeps the wealth of a bet a
        supermartingale (for an exponent c up to 1, E[f^c] <= E[f]^c <= 1). It is never more than the effective sample
        size of Kish (1965), (sum w)^2 / sum w^2, and the plain count where all weights are equal.
        """
        if self.excess is None:
            return list(counts.tolist())
        return list((np.rint((counts + self.excess) / self.heaviest * FINEST) / FINEST).tolist())

    def to_record(self, names: tuple[str, ...]) -> dict[str, Any]:
        """As they stand in partials: empty where every weight is 1."""
        if self.excess is None:
            return {}
        excess = {name: more for name, more in zip(names, self.excess.tolist(), strict=True) if more}
        return {"weights": {"heaviest": self.heaviest, "excess": excess}}

    @classmethod
    def from_record(cls, record: dict[str, Any], names: tuple[str, ...]) -> Self:
        """Read them back.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: They are not weights.
        """
        if (kept := record.get("weights")) is None:
            return cls()
        return cls(np.array([float(kept["excess"].get(name, 0.0)) for name in names]), float(kept["heaviest"]))
