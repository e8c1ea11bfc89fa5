"""How every chart looks: colours are the page's own, so that light, dark and paper need no second chart. Pure."""

from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]
"""A chart in Vega-Lite."""

WIDTH, HEIGHT = 430, 190
MINUTE_MS = 60_000
LIVE, SHADOW = "var(--live)", "var(--shadow)"
INK, MUTED, GRID = "var(--ink)", "var(--muted)", "var(--grid)"
STATE_COLOURS = {"holds": "var(--good)", "fails": "var(--bad)", "open": "var(--open)"}
SIDES = {"domain": ["live", "shadow"], "range": [LIVE, SHADOW]}

_CONFIG: Spec = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 150,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": MUTED,
        "labelFontSize": 11,
        "orient": "top",
        "title": None,
        "offset": 4,
    },
    "text": {"color": INK, "fontSize": 11},
}


def chart(description: str, values: list[Spec], **parts: object) -> Spec:
    """A whole chart.

    Args:
        description: What it shows, for those who cannot see it.
        values: The rows it is drawn from.
        parts: `mark` and `encoding`, or `layer`, and what else Vega-Lite knows.
    """
    size = {"width": WIDTH, "height": HEIGHT}
    return {"description": description, "data": {"values": values}, "config": _CONFIG, **size, **parts}


def axis(field: str, title: str | None = None, unit: str = "", **more: object) -> Spec:
    """A quantity along an axis; `share` is written in per cent."""
    shape = {"format": "~%"} if unit == "share" else {"format": ",d"} if unit == "count" else {}
    scale = more.pop("scale", {"zero": False})
    return {
        "field": field,
        "type": "quantitative",
        "scale": scale,
        "axis": {"title": title, "tickCount": 5, **shape, **more},
    }


def time(field: str, span_ms: int) -> Spec:
    """A moment along an axis that is so long."""
    shape = "%H:%M:%S" if span_ms < 10 * MINUTE_MS else "%H:%M" if span_ms < 2_880 * MINUTE_MS else "%b %d"
    axis = {"title": "UTC", "tickCount": 4, "grid": False, "format": shape}
    return {"field": field, "type": "temporal", "axis": axis, "scale": {"type": "utc"}}


def coloured(field: str, scale: Mapping[str, object], **more: object) -> Spec:
    """Which colour each name has."""
    return {"field": field, "type": "nominal", "scale": scale, **more}
