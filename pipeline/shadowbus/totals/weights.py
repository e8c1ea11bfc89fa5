"""What sampling adds to plain counts: of how many requests the counted ones speak.

Where replay takes a share of the requests only, each comparison has the weight one over that share. A rate is then the
weights of those it holds for over the weights of all, which is unbiased even while share and rate change together. A
label that somebody chose to ask for has the weight of its comparison over the probability of being chosen.
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
    """What weights add to counts.

    Attributes:
        excess: By counter the sum of `weight - 1` over what it counts. None: all 0.
        heaviest: The largest weight of any record.
        compared: The largest weight of a comparison; None: as `heaviest`.
        apart: The largest weight of an outcome whose answers may differ; None: as `heaviest`.
    """

    excess: NDArray[np.float64] | None = None
    heaviest: float = 1.0
    compared: float | None = None
    apart: float | None = None

    @classmethod
    def of(
        cls, counts: NDArray[np.int64], weights: NDArray[np.float64], apart: NDArray[np.bool_] | None = None
    ) -> Self:
        """From n records: their rows of counts, their weights, and which outcomes are not known to agree."""
        heaviest = float(weights.max(initial=1.0))
        if heaviest <= 1.0:
            return cls()
        if apart is None:
            return cls((weights - 1.0) @ counts, heaviest, heaviest, 1.0)
        return cls((weights - 1.0) @ counts, heaviest, 1.0, float(weights[apart].max(initial=1.0)))

    @property
    def heaviest_compared(self) -> float:
        """The largest weight of a comparison."""
        return self.heaviest if self.compared is None else self.compared

    @property
    def heaviest_apart(self) -> float:
        """The largest weight of an outcome in which the answers may differ."""
        return self.heaviest if self.apart is None else self.apart

    def __add__(self, other: "Weights") -> "Weights":
        if self.excess is None or other.excess is None:
            return other if self.excess is None else self
        return Weights(
            self.excess + other.excess,
            max(self.heaviest, other.heaviest),
            max(self.heaviest_compared, other.heaviest_compared),
            max(self.heaviest_apart, other.heaviest_apart),
        )

    def scaled(self, counts: NDArray[np.int64], of_labels: NDArray[np.bool_]) -> list[float]:
        """Counts that have the weighted proportions, and no more evidence than there is.

        Each weight is divided by the heaviest of its kind: what is counted of comparisons (not `of_labels`) by that of
        comparisons, so that a few labels that stand for many do not hide what is known of errors. A record then counts
        for 1 at most, which keeps the wealth of a bet a supermartingale (for an exponent c up to 1, E[f^c] <= E[f]^c
        <= 1). It is never more than the effective sample size of Kish (1965), (sum w)^2 / sum w^2, and the plain count
        where all weights are equal.
        """
        if self.excess is None:
            return list(counts.tolist())
        largest = np.where(of_labels, self.heaviest, self.heaviest_compared)
        return list((np.rint((counts + self.excess) / largest * FINEST) / FINEST).tolist())

    def to_record(self, names: tuple[str, ...]) -> dict[str, Any]:
        """As they stand in partials: empty where every weight is 1."""
        if self.excess is None:
            return {}
        excess = {name: more for name, more in zip(names, self.excess.tolist(), strict=True) if more}
        others = {"compared": self.heaviest_compared, "apart": self.heaviest_apart}
        parts = {name: largest for name, largest in others.items() if largest != self.heaviest}
        return {"weights": {"heaviest": self.heaviest, **parts, "excess": excess}}

    @classmethod
    def from_record(cls, record: dict[str, Any], names: tuple[str, ...]) -> Self:
        """Read them back.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: They are not weights.
        """
        if (kept := record.get("weights")) is None:
            return cls()
        heaviest = float(kept["heaviest"])
        compared, apart = (float(kept.get(name, heaviest)) for name in ("compared", "apart"))
        return cls(np.array([float(kept["excess"].get(name, 0.0)) for name in names]), heaviest, compared, apart)
