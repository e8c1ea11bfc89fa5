"""What both models answer, without labels: where they differ, and how far their distributions are apart. Pure."""

from typing import Any

from shadowbus.statistics.divergence import jensen_shannon, stability_index
from shadowbus.statistics.quantiles import Quantiles
from shadowbus.summary.confusion_layout import matrix, shown_classes
from shadowbus.totals.detailed import DetailedTotals

TENTHS = [tenth / 10 for tenth in range(1, 10)]
RANKS = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def confusion(details: DetailedTotals) -> dict[str, Any] | None:
    """Live answer by shadow answer: `classes`, `counts` and `n`; None where answers are no classes."""
    table = details.confusion
    if not table:
        return None
    classes = shown_classes(table.weights())
    return {"classes": classes, "counts": matrix(table.counts, classes), "n": table.total}


def predictions(details: DetailedTotals) -> dict[str, Any]:
    """How often each answer comes, and how far the shadow's answers are from the live ones."""
    if details.confusion:
        return _classes(details)
    if details.live_answers and details.shadow_answers:
        return _numbers(details.live_answers, details.shadow_answers)
    return {"kind": None, "psi": None, "js": None, "n": 0, "live": None, "shadow": None}


def _classes(details: DetailedTotals) -> dict[str, Any]:
    weights = details.confusion.weights()
    classes = shown_classes(weights)
    rows = matrix(weights, classes)
    whole = sum(map(sum, rows))
    live = [sum(row) / whole for row in rows]
    shadow = [sum(column) / whole for column in zip(*rows, strict=True)]
    return {"kind": "classes", **_apart(live, shadow), "n": details.confusion.total, "classes": classes}


def _numbers(live: Quantiles, shadow: Quantiles) -> dict[str, Any]:
    edges = sorted({edge for rank in TENTHS if (edge := live.at(rank)) is not None})
    return {
        "kind": "numbers",
        **_apart(live.shares(edges), shadow.shares(edges)),
        "n": live.n,
        "edges": edges,
        "live_quantiles": _quantiles(live),
        "shadow_quantiles": _quantiles(shadow),
    }


def _apart(live: list[float], shadow: list[float]) -> dict[str, Any]:
    found = {"psi": stability_index(live, shadow), "js": jensen_shannon(live, shadow)}
    return {**found, "live": live, "shadow": shadow}


def _quantiles(sketch: Quantiles) -> dict[str, float | None]:
    ranks = {name: sketch.at(rank) for name, rank in RANKS.items()}
    return {**ranks, "min": sketch.smallest, "max": sketch.largest}
