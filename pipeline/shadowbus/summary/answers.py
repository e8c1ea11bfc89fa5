"""How the answers of both models compare, and whether requests have what the model reads. Pure."""

from typing import Any

from shadowbus.records import STATUSES
from shadowbus.summary.view import TotalsView

MOST_MISSING = 50


def agreement(view: TotalsView) -> dict[str, Any]:
    """The field `agreement`."""
    agreed, differ = view.scaled["agreed"], view.scaled["disagreed"]
    return view.rate(agreed, agreed + differ, view.count("agreed", "disagreed"))


def live_errors(view: TotalsView) -> dict[str, Any]:
    """The field `live_errors`."""
    answered = [name for name in STATUSES if name != "live_missing"]
    weighted = sum(view.scaled[name] for name in answered)
    return view.rate(view.scaled["live_errors"], weighted, view.count(*answered), interval=False)


def noise(view: TotalsView) -> dict[str, Any]:
    """The field `noise`: how often the control, which is the champion itself, gives another answer."""
    assert view.beside is not None  # noqa: S101
    floor = view.beside.noise.floor
    return view.rate(floor.differ, floor.compared, view.beside.noise.n)


def distance(view: TotalsView) -> dict[str, Any]:
    """The field `distance`."""
    distance = view.totals.distance
    return {"value": distance.mean if distance.n else None, "n": distance.n}


def features(view: TotalsView) -> dict[str, Any]:
    """The field `features`: requests that lack none, and the features that lack most often."""
    table = view.totals.detailed.lacking
    whole = view.asked * view.totals.weights.heaviest_compared  # as many requests as the asked ones stand for
    most = sorted(table.counts, key=lambda cell: (-table.counts[cell], cell))[:MOST_MISSING]
    return {
        "complete": view.rate(max(0.0, view.asked - view.scaled["missing_features"]), view.asked, view.requests),
        "missing": {
            cell[0]: {"count": table.counts[cell], "share": min(1.0, table.weight(cell) / whole) if whole else None}
            for cell in most
        },
    }
