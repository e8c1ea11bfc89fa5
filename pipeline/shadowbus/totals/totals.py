"""The running totals of one trial, segment and window, as numbers that add up.

Totals merge by `+` with `Totals()` as identity, in any order and grouping: counts and means exactly,
quantiles within the error of their sketch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.records import STATUSES, TIMED
from shadowbus.statistics.moments import CorrectedMoments
from shadowbus.statistics.quantiles import Quantiles
from shadowbus.totals.days import Days
from shadowbus.totals.detailed import PARTS, DetailedTotals
from shadowbus.totals.weights import Weights

LIVE_TIMED = tuple(f"live_{kind}" for kind in TIMED)

STARTUP = ("unsettled", "unsettled_failed", "stalled", "stalled_failed", "left_out", "left_out_failed")
"""Rows asked, and those of them that failed: before it is known whether it runs; while it is stalled; before it ran.

A row is in one of the three at most, and goes from one to another; these counters alone may fall.
"""

COUNTERS = (
    *STATUSES,
    "agreed",
    "disagreed",
    "latency_rows",
    "over_budget",
    "live_errors",
    "shadow_errors",
    "missing_features",
    "trained_on",
    *LIVE_TIMED,
    *STARTUP,
    "labels",
    "both_right",
    "shadow_only",
    "live_only",
    "both_wrong",
    "labelled_agreed",
    "labelled_disagreed",
    "labels_trained_on",
    *("before_judged", "before_right", "before_live_right", "early_judged", "early_right", "early_live_right"),
)
"""What is counted, by the names it has in a record; the first ones are the statuses of comparisons.

`latency_rows` are shadow answers with a latency of their own, `over_budget` those of them over `gate.latency_budget_ms`
as it was when they were counted; `live_errors` and `shadow_errors` are answers that carry an error; `missing_features`
are comparisons of requests that lacked features; `labels` are outcomes, `labelled_agreed` and `labelled_disagreed`
those in which both answers are known to be the same, and not to be.

`live_exchange`, `live_call` and `live_model` are live answers with a latency, by what was timed.

`trained_on` are compared requests from before the model's training ended, and `labels_trained_on` the outcomes of such
requests: they are in no other counter that rests on answers or labels (not in `agreed`, not in `labels`).

`before_judged` are outcomes that say who was right, of requests from before the bundle was made; `before_right` and
`before_live_right` those in which the shadow and the live model were. Those that begin with `early` are the part of
these that counts, since it is from after the model's training as far as is known.

Those in `STARTUP` are counted for the whole trial only.
"""

_OF_LABELS = np.array([name in COUNTERS[COUNTERS.index("labels") :] for name in COUNTERS])
"""Counters of outcomes; all others are of comparisons."""

INDEX = {name: index for index, name in enumerate(COUNTERS)}
_PLAIN = COUNTERS[len(STATUSES) :]
_SKETCHES = ("live_latency", "shadow_latency")
_MOMENTS = ("distance", "latency_difference", "slowdown", "control_gap", "loss", "value")


def _zeros() -> NDArray[np.int64]:
    return np.zeros(len(COUNTERS), np.int64)


@dataclass(slots=True, eq=False)
class Totals:
    """What is counted, and the numbers that go with it.

    Attributes:
        counts: In the order of `COUNTERS`.
        live_latency: In ms.
        shadow_latency: In ms.
        distance: Between both answers.
        latency_difference: Shadow minus live of the same request, in ms, where both timed the same.
        loss: By how much the shadow's loss exceeds the live one.
        value: By how much more the shadow's decision is worth than the live one, by the cost matrix.
        first_ms: The time of the first record, and `last_ms` of the last.
        weights: What sampling adds to the counts.
        details: The heavy part; None in windows.
        number: The highest running number of any comparison; 0 where none has one, in windows and segments, and in a
            union, since numbers are a source partition's.
        days: On which days the shadow answered what it was not trained on; empty in windows and segments.
        slowdown: Of rows that the control timed too, the logarithm of how many times as long the shadow took; of the
            whole trial only, as the next.
        control_gap: Shadow minus control, in ms, of the same rows.

    >>> (Totals() + Totals()).count("labels")
    0
    """

    counts: NDArray[np.int64] = field(default_factory=_zeros)
    live_latency: Quantiles = field(default_factory=Quantiles)
    shadow_latency: Quantiles = field(default_factory=Quantiles)
    distance: CorrectedMoments = field(default_factory=CorrectedMoments)
    latency_difference: CorrectedMoments = field(default_factory=CorrectedMoments)
    loss: CorrectedMoments = field(default_factory=CorrectedMoments)
    value: CorrectedMoments = field(default_factory=CorrectedMoments)
    first_ms: int | None = None
    last_ms: int | None = None
    weights: Weights = field(default_factory=Weights)
    details: DetailedTotals | None = None
    number: int = 0
    days: Days = field(default_factory=Days)
    slowdown: CorrectedMoments = field(default_factory=CorrectedMoments)
    control_gap: CorrectedMoments = field(default_factory=CorrectedMoments)

    @property
    def detailed(self) -> DetailedTotals:
        """The details, empty ones where there are none."""
        return DetailedTotals() if self.details is None else self.details

    def light(self) -> "Totals":
        """The same without the details, for a window."""
        plain = self.details is None and not self.number and not self.days
        return self if plain else replace(self, details=None, number=0, days=Days())

    def scaled(self) -> dict[str, float]:
        """What rates and intervals are worked out from: the counts themselves where every weight is 1."""
        return dict(zip(COUNTERS, self.weights.scaled(self.counts, _OF_LABELS), strict=True))

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
        for name in (*_SKETCHES, *_MOMENTS):
            getattr(self, name).absorb(getattr(other, name))
        self.weights = self.weights + other.weights
        self.number = max(self.number, other.number)
        self.days.absorb(other.days)
        if other.first_ms is not None and other.last_ms is not None:
            self.first_ms = other.first_ms if self.first_ms is None else min(self.first_ms, other.first_ms)
            self.last_ms = other.last_ms if self.last_ms is None else max(self.last_ms, other.last_ms)
        if other.details is not None:
            if self.details is None:
                self.details = DetailedTotals()
            self.details.absorb(other.details)

    @classmethod
    def union(cls, parts: "Sequence[Totals]") -> Self:
        """All of some totals; the same record for the same parts, to the last bit, in whatever order."""
        totals = cls()
        for part in parts:
            totals.absorb(part)
        totals.number = 0  # says something of one source partition only
        for name in _SKETCHES:
            setattr(totals, name, Quantiles.union(getattr(part, name) for part in parts))
        if totals.details is not None:
            totals.details.settle([part.details for part in parts if part.details is not None])
        return totals

    def __add__(self, other: "Totals") -> "Totals":
        merged = Totals()
        merged.absorb(self)
        merged.absorb(other)
        return merged

    def to_record(self) -> dict[str, Any]:
        """As they stand in partials and aggregates."""
        moments = {name: getattr(self, name) for name in _MOMENTS}
        return {
            "statuses": self.statuses,
            **{name: self.count(name) for name in _PLAIN},
            **{name: getattr(self, name).to_record() for name in _SKETCHES},
            **{name: one.to_record() for name, one in moments.items() if one},
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            **({"number": self.number} if self.number else {}),
            **({"days": self.days.to_record()} if self.days else {}),
            **self.weights.to_record(COUNTERS),
            **(self.details.to_record() if self.details is not None else {}),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back; what an older writer did not know is zero.

        Raises:
            KeyError, TypeError, ValueError, IndexError: They are not totals.
        """
        counts = _zeros()
        for name, count in record["statuses"].items():
            if name in INDEX:
                counts[INDEX[name]] = count
        for name in _PLAIN:
            counts[INDEX[name]] = record.get(name, 0)
        parts: dict[str, Any] = {name: Quantiles.from_record(record[name]) for name in _SKETCHES}
        parts.update({name: CorrectedMoments.from_record(record[name]) for name in _MOMENTS if name in record})
        return cls(
            counts,
            **parts,
            first_ms=_time(record["first_ms"]),
            last_ms=_time(record["last_ms"]),
            number=int(record.get("number", 0)),
            days=Days.from_record(record.get("days", {})),
            weights=Weights.from_record(record, COUNTERS),
            details=DetailedTotals.from_record(record) if any(name in record for name in PARTS) else None,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]


def _time(found: Any) -> int | None:
    if found is not None and type(found) is not int:
        raise ValueError(f"{found!r:.40} is no time")
    return found
