"""Totals as numbers that people read: docs/metrics.md says what each is. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.records import SHADOW_FAILURES, STATUSES, TIMED
from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.statistics.quantiles import Quantiles
from shadowbus.summary.coverage import coverage
from shadowbus.summary.decision_value import decision_value
from shadowbus.summary.labelled import Ends, labelled
from shadowbus.summary.predictions import confusion, predictions
from shadowbus.totals.totals import LIVE_TIMED, Totals
from shadowbus.verdict.interval import Interval
from shadowbus.verdict.sequential import mean_interval, paired_difference_interval, rate_interval

RIGHT = ("both_right", "shadow_only", "live_only", "both_wrong")
MOST_MISSING = 50
RANKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def requests_of(totals: Totals) -> int:
    """Requests that the shadow was asked: all comparisons but those whose request is missing."""
    return sum(totals.statuses.values()) - totals.count("request_missing")


def asked_of(scaled: Mapping[str, float]) -> tuple[float, float]:
    """The same from scaled counts, since it began to run, and on how many of them it failed."""
    early, failed = (scaled[f"stalled{what}"] + scaled[f"left_out{what}"] for what in ("", "_failed"))
    asked = max(0.0, sum(scaled[name] for name in STATUSES if name != "request_missing") - early)
    return asked, min(asked, max(0.0, scaled["shadow_errors"] - failed))


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


def summarize(totals: Totals, reading: SummaryOptions) -> dict[str, Any]:
    """What a dashboard shows of some totals: the fields of docs/metrics.md, but for `resources`."""
    requests, scaled, level = requests_of(totals), totals.scaled(), reading.alpha
    (ran, failed), agreed = asked_of(scaled), scaled["agreed"]
    early = totals.count("stalled") + totals.count("left_out")
    asked = ran + scaled["stalled"] + scaled["left_out"]
    compared, timed = totals.count("agreed") + totals.count("disagreed"), totals.count("latency_rows")

    def ends(moments: Moments) -> dict[str, float | None]:
        return _mean_ends(moments, totals.weights.heaviest, level)

    def gap_ends(moments: Moments) -> dict[str, float | None]:
        return _mean_ends(moments, totals.weights.heaviest_compared, level)

    summary = {
        "requests": requests,
        "labels": totals.count("labels"),
        "trained_on": {"requests": totals.count("trained_on"), "labels": totals.count("labels_trained_on")},
        "agreement": _rate(agreed, agreed + scaled["disagreed"], level, compared),
        "before_it_ran": early,
        "errors": _rate(failed, ran, level, requests - early),
        "timeouts": _rate(scaled["shadow_timeout"], asked, level, requests),
        "failures": {name: totals.count(name) for name in SHADOW_FAILURES},
        "live_errors": _live_errors(totals, scaled),
        "over_budget": _rate(scaled["over_budget"], scaled["latency_rows"], level, timed),
        "live_latency_ms": {**_latency(totals.live_latency), "timed": _timed(totals)},
        "shadow_latency_ms": _latency(totals.shadow_latency),
        "latency_difference_ms": {**_mean(totals.latency_difference, gap_ends), **_gaps(totals)},
        "right": (right := {name: totals.count(name) for name in RIGHT}),
        "accuracy": _accuracy({name: scaled[name] for name in RIGHT}, level, sum(right.values())),
        "distance": {"value": totals.distance.mean if totals.distance.n else None, "n": totals.distance.n},
        "loss_difference": _mean(totals.loss, ends),
        "coverage": coverage(totals),
        "value": decision_value(totals, reading.costs, ends),
    }
    if reading.heavy:
        details = totals.detailed
        summary["features"] = _features(totals, scaled, asked, level)
        summary["confusion"] = confusion(details)
        summary["predictions"] = predictions(details)
        summary.update(labelled(details, totals.loss, ends))
    return summary


def against_control(totals: Totals, alpha: float | None) -> dict[str, Any]:
    """The field `against_control` of docs/metrics.md: the shadow's time for rows that the control was timed on too."""
    ratio = totals.slowdown
    return {
        "difference_ms": _mean(totals.control_gap, lambda moments: _mean_ends(moments, 1.0, alpha)),
        "times_as_long": math.exp(ratio.mean) if ratio.n else None,
        "n": ratio.n,
    }


def _rate(successes: float, trials: float, alpha: float | None, seen: int) -> dict[str, Any]:
    if not trials:
        return {"value": None, "low": None, "high": None, "n": 0}
    interval = rate_interval(successes, trials, alpha) if alpha is not None else None
    return {"value": successes / trials, **_ends(interval), "n": seen}


def _live_errors(totals: Totals, scaled: Mapping[str, float]) -> dict[str, Any]:
    answered = [name for name in STATUSES if name != "live_missing"]
    seen, weighted = sum(totals.count(name) for name in answered), sum(scaled[name] for name in answered)
    return _rate(scaled["live_errors"], weighted, None, seen)


def _latency(quantiles: Quantiles) -> dict[str, Any]:
    return {**{name: quantiles.at(rank) for name, rank in RANKS.items()}, "n": quantiles.n}


def _timed(totals: Totals) -> str | None:
    """What live latencies are of; None where that is not known, or not the same of all."""
    kinds = [kind for kind, name in zip(TIMED, LIVE_TIMED, strict=True) if totals.count(name)]
    known = sum(map(totals.count, LIVE_TIMED))
    return kinds[0] if len(kinds) == 1 and known == totals.live_latency.n else None


def _accuracy(right: dict[str, float], alpha: float | None, seen: int) -> dict[str, Any]:
    paired = sum(right.values())
    if not paired:
        return {"live": None, "shadow": None, "difference": None, "low": None, "high": None, "n": 0}
    ours, theirs = right["shadow_only"], right["live_only"]
    interval = paired_difference_interval(ours, theirs, paired, alpha) if alpha is not None else None
    return {
        "live": (right["both_right"] + theirs) / paired,
        "shadow": (right["both_right"] + ours) / paired,
        "difference": (ours - theirs) / paired,
        **_ends(interval),
        "n": seen,
    }


def _features(totals: Totals, scaled: Mapping[str, float], asked: float, alpha: float | None) -> dict[str, Any]:
    table, requests = totals.detailed.lacking, requests_of(totals)
    whole = asked * totals.weights.heaviest_compared  # as many requests as the asked ones stand for
    most = sorted(table.counts, key=lambda cell: (-table.counts[cell], cell))[:MOST_MISSING]
    return {
        "complete": _rate(max(0.0, asked - scaled["missing_features"]), asked, alpha, requests),
        "missing": {
            cell[0]: {"count": table.counts[cell], "share": min(1.0, table.weight(cell) / whole) if whole else None}
            for cell in most
        },
    }


def _gaps(totals: Totals) -> dict[str, float | None]:
    gaps = totals.detailed.latency_gaps
    return {name: gaps.at(rank) for name, rank in RANKS.items()}


def _mean(moments: CorrectedMoments, ends: Ends) -> dict[str, Any]:
    left = moments.left
    return {"value": left.mean if left.n else None, **ends(left), "n": left.n}


def _mean_ends(moments: Moments, heaviest: float, alpha: float | None) -> dict[str, float | None]:
    if alpha is None or not moments.n:
        return _ends(None)
    return _ends(mean_interval(moments.weight / heaviest, moments.mean, moments.m2 / heaviest, alpha))


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}
