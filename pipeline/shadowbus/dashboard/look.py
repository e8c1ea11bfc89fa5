"""How charts of the live page look: colours, frame and axes as ECharts options. Pure.

Nothing here is ever HTML: tooltips are drawn as text (`renderMode: richText`), no formatter is made of what came in a
record, every key is written here, as the page takes keys that begin with a colon for program code, and every foreign
name is one `for_charts`. Colours are CSS variables, so that light and dark are a matter of the style sheet.
"""

from typing import Any

Options = dict[str, Any]

FONT = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
"""As in the style sheet; charts measure their texts with it."""

INK, MUTED, LINE, CARD = "var(--ink)", "var(--muted)", "var(--line)", "var(--card)"
LIVE, SHADOW, GOOD, BAD, WARN = "var(--live)", "var(--shadow)", "var(--good)", "var(--bad)", "var(--warn)"
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def frame(**grid: int) -> Options:
    """What all charts have; `grid` is the room around, in pixels."""
    return {
        "animation": False,
        "aria": {"enabled": False},
        "useUTC": True,
        "backgroundColor": "transparent",
        "textStyle": {"fontFamily": FONT},
        "grid": {**grid, "containLabel": False},
        "tooltip": {
            "trigger": "axis",
            "renderMode": "richText",
            "confine": True,
            "backgroundColor": CARD,
            "borderColor": LINE,
            "textStyle": {"color": INK, "fontSize": 12},
            "axisPointer": {"lineStyle": {"color": MUTED}, "shadowStyle": {"color": LINE, "opacity": 0.4}},
        },
    }


def legend(*names: str) -> Options:
    """Names and colours of lines or bars; without names, of all."""
    shown = {"data": list(names), "selectedMode": False} if names else {}
    return {
        **shown,
        "top": 0,
        "left": 0,
        "itemWidth": 22,
        "itemHeight": 10,
        "textStyle": {"color": INK},
        "inactiveColor": MUTED,
    }


def time_axis(first_ms: int, last_ms: int, *, few: bool = False) -> Options:
    """From one moment to another, in UTC, with as much of a date and time as so long a stretch takes.

    >>> time_axis(0, 60_000)["axisLabel"]["formatter"], time_axis(0, 86_400_000)["axisLabel"]["formatter"]
    ('{HH}:{mm}:{ss}', '{HH}:{mm}')
    """
    span = last_ms - first_ms
    shape = "{HH}:{mm}:{ss}" if span < 10 * MINUTE_MS else "{HH}:{mm}" if span < 2 * DAY_MS else "{d} {MMM}"
    return {
        "type": "time",
        "min": first_ms,
        "max": max(last_ms, first_ms + 1),
        "splitNumber": 2 if few else 4,
        "axisLabel": {"color": MUTED, "fontSize": 11, "hideOverlap": True, "formatter": shape},
        "axisLine": {"lineStyle": {"color": LINE}},
        "axisTick": {"show": False},
        "splitLine": {"show": False},
    }


def value_axis(
    unit: str, *, low: float | None = None, high: float | None = None, few: bool = False, scaled: bool = False
) -> Options:
    """A quantity, from `low` to `high` where those are given."""
    axis: Options = {
        "type": "value",
        "splitNumber": 2 if few else 4,
        "axisLabel": {
            "color": MUTED,
            "fontSize": 11,
            "formatter": f"{{value}}{unit}",
            "showMinLabel": not few,
            "showMaxLabel": not few,
        },
        "splitLine": {"lineStyle": {"color": LINE, "opacity": 0.7}},
        "scale": scaled and low is None,
    }
    return {**axis, **({"min": low} if low is not None else {}), **({"max": high} if high is not None else {})}
