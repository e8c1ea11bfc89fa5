"""Totals as numbers that people read: rates with their intervals, latencies, accuracy. Pure."""

from collections.abc import Mapping
from typing import Any

from shadowbus.aggregate.coverage import coverage
from shadowbus.aggregate.quantiles import Quantiles
from shadowbus.aggregate.totals import Totals
from shadowbus.records import SHADOW_FAILURES, STATUSES
from shadowbus.verdict.interval import Interval
from shadowbus.verdict.sequential import mean_interval, paired_difference_interval, rate_interval

RIGHT = ("both_right", "shadow_only", "live_only", "both_wrong")
RANKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def requests_of(totals: Totals) -> int:
    """Requests that the shadow was asked: all comparisons but those whose request is missing."""
    return sum(totals.statuses.values()) - totals.count("request_missing")


def asked_of(scaled: Mapping[str, float]) -> float:
    """The same from scaled counts."""
    return sum(scaled[name] for name in STATUSES if name != "request_missing")


def summarize(totals: Totals, alpha: float, *, intervals: bool = True) -> dict[str, Any]:
    """What a dashboard shows of some totals.

    Args:
        totals: Of a trial, segment and window.
        alpha: The chance, at most, that an interval ever misses the truth.
        intervals: Whether to work them out; it takes some milliseconds.

    Returns:
        Every field of docs/metrics.md.
    """
    requests, scaled = requests_of(totals), totals.scaled()
    asked, agreed = asked_of(scaled), scaled["agreed"]
    seen = {
        "agreement": totals.count("agreed") + totals.count("disagreed"),
        "over_budget": totals.count("latency_rows"),
    }
    level = alpha if intervals else None
    return {
        "requests": requests,
        "labels": totals.count("labels"),
        "agreement": _rate(agreed, agreed + scaled["disagreed"], level, seen["agreement"]),
        "errors": _rate(min(scaled["shadow_errors"], asked), asked, level, requests),
        "timeouts": _rate(scaled["shadow_timeout"], asked, level, requests),
        "failures": {name: totals.count(name) for name in SHADOW_FAILURES},
        "live_errors": _live_errors(totals, scaled),
        "over_budget": _rate(scaled["over_budget"], scaled["latency_rows"], level, seen["over_budget"]),
        "live_latency_ms": _latency(totals.live_latency),
        "shadow_latency_ms": _latency(totals.shadow_latency),
        "right": (right := {name: totals.count(name) for name in RIGHT}),
        "accuracy": _accuracy({name: scaled[name] for name in RIGHT}, level, sum(right.values())),
        "distance": {"value": totals.distance.mean if totals.distance.n else None, "n": totals.distance.n},
        "loss_difference": _mean(totals, level),
        "coverage": coverage(totals),
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


def _mean(totals: Totals, alpha: float | None) -> dict[str, Any]:
    loss, heaviest = totals.loss, totals.weights.heaviest
    known = loss.weight / heaviest, loss.mean, loss.m2 / heaviest
    interval = mean_interval(*known, alpha) if alpha is not None and loss.n else None
    return {"value": loss.mean if loss.n else None, **_ends(interval), "n": loss.n}


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}
