"""Totals as metrics read them: scaled counts, and rates and means with their intervals. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.records import STATUSES
from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.totals.noise_floor import NoiseFloor
from shadowbus.totals.totals import Totals
from shadowbus.verdict.interval import Interval
from shadowbus.verdict.sequential import mean_interval, paired_difference_interval, rate_interval


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """How totals are read.

    Attributes:
        alpha: The chance, at most, that an interval ever misses the truth. None: no intervals; they take milliseconds.
        costs: What decisions cost, by label and answer.
        heavy: Whether to show what windows do without.
    """

    alpha: float | None
    costs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    heavy: bool = True


@dataclass(frozen=True, slots=True)
class Beside:
    """What a whole trial has beside its totals: replay's newest vitals by source partition, and the noise floor."""

    vitals: Mapping[int, Mapping[str, Any]]
    noise: NoiseFloor


def requests_of(totals: Totals) -> int:
    """Requests that the shadow was asked: all comparisons but those whose request is missing."""
    return sum(totals.statuses.values()) - totals.count("request_missing")


def asked_of(scaled: Mapping[str, float]) -> tuple[float, float]:
    """The same from scaled counts, since the shadow began to run, and on how many of them it failed."""
    early, failed = (scaled[f"stalled{what}"] + scaled[f"left_out{what}"] for what in ("", "_failed"))
    asked = max(0.0, sum(scaled[name] for name in STATUSES if name != "request_missing") - early)
    return asked, min(asked, max(0.0, scaled["shadow_errors"] - failed))


class TotalsView:
    """Some totals with what metrics have in common, worked out once.

    Attributes:
        totals: The totals.
        options: How they are read.
        beside: What a whole trial has beside them. None: they are of a segment or a window.
        scaled: Counts in weighted proportions, by counter.
        requests: Requests that the shadow was asked, as they were counted.
        early: Requests from before the shadow began to run, as they were counted.
        asked: Requests that the shadow was asked, scaled.
        ran: Requests since the shadow began to run, scaled.
        failed: Requests of `ran` on which the shadow failed, scaled.
    """

    def __init__(self, totals: Totals, options: SummaryOptions, beside: Beside | None = None) -> None:
        self.totals, self.options, self.beside = totals, options, beside
        self.scaled, self.requests = totals.scaled(), requests_of(totals)
        self.early = totals.count("stalled") + totals.count("left_out")
        self.ran, self.failed = asked_of(self.scaled)
        self.asked = self.ran + self.scaled["stalled"] + self.scaled["left_out"]

    def count(self, *names: str) -> int:
        """The sum of some counters, as they were counted."""
        return sum(map(self.totals.count, names))

    def rate(self, successes: float, trials: float, n: int, *, interval: bool = True) -> dict[str, Any]:
        """`value`, `low`, `high` and `n` of a rate.

        Args:
            successes: Scaled.
            trials: Scaled.
            n: The trials as they were counted.
            interval: Whether to work one out.
        """
        if not trials:
            return {"value": None, "low": None, "high": None, "n": 0}
        alpha = self.options.alpha
        found = rate_interval(successes, trials, alpha) if interval and alpha is not None else None
        return {"value": successes / trials, **_ends(found), "n": n}

    def mean(self, moments: CorrectedMoments, *, of_labels: bool = True) -> dict[str, Any]:
        """`value`, `low`, `high` and `n` of a mean."""
        left = moments.left
        return {"value": left.mean if left.n else None, **self.ends(left, of_labels=of_labels), "n": left.n}

    def ends(self, moments: Moments, *, of_labels: bool = True) -> dict[str, float | None]:
        """`low` and `high` of a mean, over labels or over comparisons."""
        weights = self.totals.weights
        return self.mean_ends(moments, weights.heaviest if of_labels else weights.heaviest_compared)

    def mean_ends(self, moments: Moments, heaviest: float) -> dict[str, float | None]:
        """`low` and `high` of a mean of values none of which has more than the weight `heaviest`."""
        if self.options.alpha is None or not moments.n:
            return _ends(None)
        return _ends(mean_interval(moments.weight / heaviest, moments.mean, moments.m2 / heaviest, self.options.alpha))

    def difference_ends(self, ours: float, theirs: float, paired: float) -> dict[str, float | None]:
        """`low` and `high` of the difference of two shares that were counted on the same requests, all scaled."""
        alpha = self.options.alpha
        return _ends(None if alpha is None else paired_difference_interval(ours, theirs, paired, alpha))


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}
