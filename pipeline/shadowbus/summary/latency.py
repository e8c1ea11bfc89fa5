"""How long both models take, and how long the shadow takes beside the control. Pure."""

import math
from typing import Any

from shadowbus.records import TIMED
from shadowbus.statistics.quantiles import Quantiles
from shadowbus.summary.view import TotalsView
from shadowbus.totals.totals import LIVE_TIMED

RANKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def live_latency(view: TotalsView) -> dict[str, Any]:
    """The field `live_latency_ms`."""
    return {**_quantiles(view.totals.live_latency), "n": view.totals.live_latency.n, "timed": _timed(view)}


def shadow_latency(view: TotalsView) -> dict[str, Any]:
    """The field `shadow_latency_ms`."""
    return {**_quantiles(view.totals.shadow_latency), "n": view.totals.shadow_latency.n}


def latency_difference(view: TotalsView) -> dict[str, Any]:
    """The field `latency_difference_ms`."""
    mean = view.mean(view.totals.latency_difference, of_labels=False)
    return {**mean, **_quantiles(view.totals.detailed.latency_gaps)}


def against_control(view: TotalsView) -> dict[str, Any]:
    """The field `against_control`: the shadow's time for rows that the control was timed on too. They have no weights.

    Ratios are averaged as logarithms.
    """
    ratio, gap = view.totals.slowdown, view.totals.control_gap.left
    difference = {"value": gap.mean if gap.n else None, **view.mean_ends(gap, 1.0), "n": gap.n}
    return {"difference_ms": difference, "times_as_long": math.exp(ratio.mean) if ratio.n else None, "n": ratio.n}


def _quantiles(sketch: Quantiles) -> dict[str, float | None]:
    return {name: sketch.at(rank) for name, rank in RANKS.items()}


def _timed(view: TotalsView) -> str | None:
    """What was timed; None where that is not known, or differs between requests."""
    kinds = [kind for kind, name in zip(TIMED, LIVE_TIMED, strict=True) if view.count(name)]
    return kinds[0] if len(kinds) == 1 and view.count(*LIVE_TIMED) == view.totals.live_latency.n else None
