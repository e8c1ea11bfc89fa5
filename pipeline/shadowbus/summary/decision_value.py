"""By how much the shadow's decisions are worth more than the live ones, by the cost matrix. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from shadowbus.statistics.contingency_table import Cell
from shadowbus.statistics.moments import Moments
from shadowbus.totals.totals import Totals

Ends = Callable[[Moments], dict[str, float | None]]
"""The `low` and `high` of a mean."""

MOST_FLIPS = 20


def decision_value(totals: Totals, costs: Mapping[tuple[str, str], float], ends: Ends) -> dict[str, Any] | None:
    """The field `value` of docs/metrics.md; None without a cost matrix.

    Args:
        totals: The totals of a trial, segment and window.
        costs: The costs by label and answer, which say what each flip is worth.
        ends: Works out the interval.
    """
    if not costs and not totals.value:
        return None
    more = totals.value.left
    found: dict[str, Any] = {"value": more.mean if more.n else None, **ends(more), "n": more.n}
    if totals.details is None:
        return found
    live = totals.details.live_value.mean if more.n else None
    sides = {"live": live, "shadow": None if live is None else live + more.mean}
    total = more.mean * more.weight if more.n else None
    return {**found, **sides, "total": total, "flips": _flips(totals, costs)}


def _flips(totals: Totals, costs: Mapping[tuple[str, str], float]) -> list[dict[str, Any]]:
    table = totals.detailed.flips
    each = {cell: _each(cell, costs) for cell in table.counts}
    most = sorted(table.counts, key=lambda cell: (-abs(each[cell] * table.weight(cell)), cell))[:MOST_FLIPS]
    return [
        {
            **dict(zip(("label", "live", "shadow"), cell, strict=True)),
            "count": table.counts[cell],
            "each": each[cell],
            "total": each[cell] * table.weight(cell),
        }
        for cell in most
    ]


def _each(cell: Cell, costs: Mapping[tuple[str, str], float]) -> float:
    label, live, shadow = cell
    return costs.get((label, live), 0.0) - costs.get((label, shadow), 0.0)
