"""The running totals of one trial, segment and window: everything that is known of it, as numbers that add up.

Totals merge by `+` with `Totals()` as identity, in any order and grouping: counts exactly, means up to the last bits,
quantiles within the error of their sketch.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.moments import Moments
from shadowbus.aggregate.quantiles import Quantiles
from shadowbus.aggregate.weights import Weights
from shadowbus.records import STATUSES

COUNTERS = (
    *STATUSES,
    "agreed",
    "disagreed",
    "latency_rows",
    "over_budget",
    "live_errors",
    "shadow_errors",
    "missing_features",
    "labels",
    "both_right",
    "shadow_only",
    "live_only",
    "both_wrong",
    "labelled_agreed",
    "labelled_disagreed",
)
"""What is counted, by the names it has in a record; the first ones are the statuses of comparisons.

`latency_rows` are shadow answers with a latency of their own, `over_budget` those of them over `gate.latency_budget_ms`
as it was when they were counted; `live_errors` and `shadow_errors` are answers that carry an error; `missing_features`
are comparisons of requests that lacked features; `labels` are outcomes, `labelled_agreed` and `labelled_disagreed`
those in which both answers are known to be the same, and not to be.
"""

INDEX = {name: index for index, name in enumerate(COUNTERS)}
_PLAIN = COUNTERS[len(STATUSES) :]


def _zeros() -> NDArray[np.int64]:
    return np.zeros(len(COUNTERS), np.int64)


@dataclass(slots=True, eq=False)
class Totals:
    """Counts in the order of `COUNTERS`, latencies, distances, and by how much the shadow's loss exceeds the live one.

    >>> (Totals() + Totals()).count("labels")
    0
    """

    counts: NDArray[np.int64] = field(default_factory=_zeros)
    live_latency: Quantiles = field(default_factory=Quantiles)
    shadow_latency: Quantiles = field(default_factory=Quantiles)
    distance: Moments = field(default_factory=Moments)
    loss: Moments = field(default_factory=Moments)
    first_ms: int | None = None
    last_ms: int | None = None
    weights: Weights = field(default_factory=Weights)

    def scaled(self) -> dict[str, float]:
        """What rates and intervals are worked out from: the counts themselves where every weight is 1."""
        return dict(zip(COUNTERS, self.weights.scaled(self.counts), strict=True))

    def count(self, name: str) -> int:
        """One of `COUNTERS`."""
        return int(self.counts[INDEX[name]])

    @property
    def statuses(self) -> dict[str, int]:
        """Comparisons by status, those that occurred."""
        return {name: self.count(name) for name in STATUSES if self.count(name)}

    def absorb(self, other: "Totals") -> None:
        """Add other totals to these; the others stay as they are."""
        self.counts = self.counts + other.counts
        self.live_latency.absorb(other.live_latency)
        self.shadow_latency.absorb(other.shadow_latency)
        self.distance = self.distance + other.distance
        self.loss = self.loss + other.loss
        self.weights = self.weights + other.weights
        if other.first_ms is not None and other.last_ms is not None:
            self.first_ms = other.first_ms if self.first_ms is None else min(self.first_ms, other.first_ms)
            self.last_ms = other.last_ms if self.last_ms is None else max(self.last_ms, other.last_ms)

    def __add__(self, other: "Totals") -> "Totals":
        merged = Totals()
        merged.absorb(self)
        merged.absorb(other)
        return merged

    def to_record(self) -> dict[str, Any]:
        """As they stand in partials and aggregates."""
        return {
            "statuses": self.statuses,
            **{name: self.count(name) for name in _PLAIN},
            "live_latency": self.live_latency.to_text(),
            "shadow_latency": self.shadow_latency.to_text(),
            "distance": self.distance.to_record(),
            "loss": self.loss.to_record(),
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            **self.weights.to_record(COUNTERS),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back; a counter that an older writer did not know is zero.

        Raises:
            KeyError, TypeError, ValueError: They are not totals.
        """
        counts = _zeros()
        for name, count in record["statuses"].items():
            if name in INDEX:
                counts[INDEX[name]] = count
        for name in _PLAIN:
            counts[INDEX[name]] = record.get(name, 0)
        return cls(
            counts,
            Quantiles.from_text(record["live_latency"]),
            Quantiles.from_text(record["shadow_latency"]),
            Moments.from_record(record["distance"]),
            Moments.from_record(record["loss"]),
            record["first_ms"],
            record["last_ms"],
            Weights.from_record(record, COUNTERS),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]
