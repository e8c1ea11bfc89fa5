"""Numbers of the story as ECharts options. Pure.

Nothing here is ever HTML: tooltips are drawn as text (`renderMode: richText`), no formatter is made of what came in a
record, every key is written here, as the page takes keys that begin with a colon for program code, and every foreign
name is one `for_charts`. Colours are CSS
variables, so that light and dark are a matter of the style sheet.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shadowbus.story.criteria import Criterion
from shadowbus.story.figures import FORMATS
from shadowbus.story.history import Point
from shadowbus.story.names import for_charts
from shadowbus.story.tables import Confusion, Distribution, WhoWasRight
from shadowbus.story.timeline import Moment

Options = dict[str, Any]

FONT = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
"""As in the style sheet; charts measure their texts with it."""

INK, MUTED, LINE, CARD = "var(--ink)", "var(--muted)", "var(--line)", "var(--card)"
LIVE, SHADOW, GOOD, BAD, WARN = "var(--live)", "var(--shadow)", "var(--good)", "var(--bad)", "var(--warn)"
STATE_COLOURS = {"holds": GOOD, "fails": BAD, "open": WARN}
NEARLY_ALL = 0.5
"""Of shares above it, the axis is told where to end."""
LABELLED_CLASSES = 12
SHORT_NAME = 4
"""Longer names of classes are turned, so that each has its place."""
SCALES = {"share": 100.0, "points": 100.0}
UNITS = {"share": " %", "points": "", "ms": " ms"}
HEADROOM = 0.6


def narrowing(criterion: Criterion, points: Sequence[Point]) -> Options:
    """What was seen of a criterion and what was possible over time, with the limit and the side that is allowed."""
    scale, unit = SCALES.get(criterion.unit, 1.0), UNITS.get(criterion.unit, "")
    low, high = _range(criterion)
    colour = STATE_COLOURS[criterion.state]

    def scaled(value: float | None) -> float | None:
        return None if value is None else round(value * scale, 6)

    def line(name: str, values: Iterable[float | None], **more: Any) -> Options:
        data = [[point.at_ms, value] for point, value in zip(points, values, strict=True)]
        plain = {"type": "line", "symbol": "none", "emphasis": {"disabled": True}, "animation": False}
        return {"name": name, "data": data, **plain, **more}

    widths = [None if p.low is None or p.high is None else scaled(p.high - p.low) for p in points]
    band = {"stack": "band", "stackStrategy": "all", "lineStyle": {"opacity": 0}}
    series = [
        line("lowest possible", [scaled(p.low) for p in points], **band, itemStyle={"color": MUTED}),
        line("width", widths, **band, areaStyle={"color": colour, "opacity": 0.28}, tooltip={"show": False}),
        line(
            "highest possible", [scaled(p.high) for p in points], lineStyle={"opacity": 0}, itemStyle={"color": MUTED}
        ),
        line("seen", [scaled(p.value) for p in points], lineStyle={"color": colour, "width": 2.5}),
    ]
    series[3]["itemStyle"] = {"color": colour}
    if points:
        series[3]["markPoint"] = {
            "symbol": "circle",
            "symbolSize": 9,
            "silent": True,
            "data": [{"coord": [points[-1].at_ms, scaled(points[-1].value)]}] if points[-1].value is not None else [],
            "label": {"show": False},
            "itemStyle": {"color": colour},
        }
    if criterion.limit is not None:
        series[0] |= _limit(criterion, scale, (low * scale, high * scale))
    return {
        **_frame(left=52, right=10, top=8, bottom=20),
        "xAxis": _time_axis(few=True),
        "yAxis": _value_axis(unit, low=round(low * scale, 4), high=round(high * scale, 4), few=True),
        "series": series,
    }


def confusion(table: Confusion) -> Options:
    """Live answer by shadow answer as a heat map; the diagonal is where they agree."""
    most = max((table.counts[i][j] for i, j in _cells(table) if i != j), default=0)
    best = max((table.counts[i][i] for i in range(len(table.classes))), default=0)
    data = []
    for i, j in _cells(table):
        amount, top = table.counts[i][j], best if i == j else most
        part = 10 + 50 * (amount / top) ** 0.5 if amount and top else 0
        colour = f"color-mix(in srgb, {GOOD if i == j else BAD} {part:.0f}%, var(--cell))"
        shown = {"show": amount > 0 and len(table.classes) <= LABELLED_CLASSES}
        data.append({"value": [j, i, amount], "itemStyle": {"color": colour}, "label": shown})
    axis = {
        "type": "category",
        "data": list(map(for_charts, table.classes)),
        "axisTick": {"show": False},
        "nameLocation": "middle",
    }
    label = {"color": MUTED, "width": 52, "overflow": "truncate", "interval": 0}
    turned = {"rotate": 40} if max(map(len, table.classes), default=0) > SHORT_NAME else {}
    text = {"axisLabel": label, "nameTextStyle": {"color": MUTED}}
    labels = {"color": INK, "fontSize": 11}
    return {
        **_frame(left=64, right=8, top=8, bottom=74 if turned else 44),
        "tooltip": {"show": False},
        "xAxis": {
            **axis,
            "nameTextStyle": {"color": MUTED},
            "axisLabel": {**label, **turned},
            "name": "the shadow said",
            "nameGap": 56 if turned else 26,
        },
        "yAxis": {**axis, **text, "name": "live said", "nameGap": 44, "inverse": True},
        "series": [
            {
                "type": "heatmap",
                "data": data,
                "label": labels,
                "itemStyle": {"borderColor": CARD, "borderWidth": 2},
                "emphasis": {"disabled": True},
                "animation": False,
            }
        ],
    }


def right(table: WhoWasRight) -> Options:
    """Who was right, where exactly one of them was."""
    parts = (("only the shadow", table.shadow_only, SHADOW), ("only live", table.live_only, LIVE))
    return {
        **_frame(left=8, right=8, top=28, bottom=4),
        "legend": _legend(),
        "xAxis": {"type": "value", "show": False, "max": max(1, table.shadow_only + table.live_only)},
        "yAxis": {"type": "category", "data": ["labels"], "show": False},
        "series": [
            {
                "name": name,
                "type": "bar",
                "stack": "right",
                "data": [amount],
                "barWidth": 30,
                "itemStyle": {"color": colour},
                "label": {"show": amount > 0, "color": CARD, "fontWeight": "bold"},
                "emphasis": {"disabled": True},
                "animation": False,
            }
            for name, amount, colour in parts
        ],
    }


def distribution(table: Distribution) -> Options:
    """How often each answer comes, on both sides."""
    return {
        **_frame(left=44, right=8, top=28, bottom=40),
        "legend": _legend(),
        "xAxis": {
            "type": "category",
            "data": list(map(for_charts, table.names)),
            "axisLabel": {"color": MUTED, "width": 80, "overflow": "truncate", "hideOverlap": True},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": LINE}},
        },
        "yAxis": _value_axis(" %", low=0),
        "series": [
            {
                "name": name,
                "type": "bar",
                "data": [round(100 * share, 3) for share in shares],
                "itemStyle": {"color": colour},
                "emphasis": {"disabled": True},
                "animation": False,
            }
            for name, shares, colour in (("live", table.live, LIVE), ("shadow", table.shadow, SHADOW))
        ],
    }


def rates(moments: Sequence[Moment]) -> Options:
    """How often both answer the same, window by window."""
    lines = {"same answer": ([one.agreement for one in moments], SHADOW, "solid")}
    return _over_time(moments, lines, " %", 100.0, high=100.0)


def errors(moments: Sequence[Moment]) -> Options:
    """How often the shadow fails, window by window."""
    values = [one.errors for one in moments]
    most = max((one for one in values if one is not None), default=0.0)
    high = 100.0 if most > NEARLY_ALL else None  # else the axis ends where nothing can be
    return _over_time(moments, {"failures": (values, BAD, "solid")}, " %", 100.0, low=0.0, high=high)


def latency(moments: Sequence[Moment]) -> Options:
    """Latency quantiles of both sides, window by window."""
    lines: dict[str, tuple[list[float | None], str, str]] = {}
    for side, colour in (("live", LIVE), ("shadow", SHADOW)):
        for rank, kind in (("p50", "solid"), ("p95", "dashed"), ("p99", "dotted")):
            lines[f"{side} {rank}"] = ([getattr(one, f"{side}_{rank}") for one in moments], colour, kind)
    return _over_time(moments, lines, " ms", 1.0, low=0.0)


def _over_time(
    moments: Sequence[Moment],
    lines: Mapping[str, tuple[Sequence[float | None], str, str]],
    unit: str,
    scale: float,
    low: float | None = None,
    high: float | None = None,
) -> Options:
    series = []
    for name, (values, colour, kind) in lines.items():
        data = [
            [one.start_ms, None if value is None else round(value * scale, 4)]
            for one, value in zip(moments, values, strict=True)
        ]
        style = {"color": colour, "width": 2, "type": kind}
        plain = {
            "type": "line",
            "symbol": "circle" if len(moments) < 3 else "none",
            "emphasis": {"disabled": True},
            "animation": False,
        }
        series.append({"name": name, "data": data, "lineStyle": style, "itemStyle": {"color": colour}, **plain})
    return {
        **_frame(left=56, right=14, top=52 if len(lines) > 1 else 12, bottom=24),
        **({"legend": {**_legend(), "itemGap": 8}} if len(lines) > 1 else {}),
        "xAxis": _time_axis(),
        "yAxis": _value_axis(unit, low=low, high=high, scaled=True),
        "series": series,
    }


def _limit(criterion: Criterion, scale: float, span: tuple[float, float]) -> Options:
    """The limit as a line, and the side of it that is allowed."""
    limit = round((criterion.limit or 0.0) * scale, 6)
    text = f"limit {FORMATS[criterion.unit](criterion.limit)}"
    label = {"formatter": text, "position": "insideStartTop", "color": INK, "fontSize": 11}
    line = {"color": INK, "type": "dashed", "width": 1.5}
    found: Options = {
        "markLine": {"symbol": "none", "silent": True, "data": [{"yAxis": limit}], "label": label, "lineStyle": line}
    }
    if criterion.side != "limit":
        edge = span[1] if criterion.side == "at least" else span[0]
        area = [[{"yAxis": limit}, {"yAxis": round(edge, 6)}]]
        found["markArea"] = {"silent": True, "data": area, "itemStyle": {"color": GOOD, "opacity": 0.09}}
    return found


def _range(criterion: Criterion) -> tuple[float, float]:
    """What part of the scale to show: the limit and all that is possible now, with room for what was before."""
    ends = [one for one in (criterion.value, criterion.low, criterion.high, criterion.limit) if one is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = (high - low or abs(high) or 1.0) * HEADROOM
    if criterion.unit == "share":
        return max(0.0, low - room), min(1.0, high + room)
    return low - room, high + room


def _cells(table: Confusion) -> Iterable[tuple[int, int]]:
    size = range(len(table.classes))
    return [(i, j) for i in size for j in size]


def _frame(**grid: int) -> Options:
    return {
        "animation": False,
        "aria": {"enabled": False},
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


def _legend() -> Options:
    return {"top": 0, "left": 0, "itemWidth": 22, "itemHeight": 10, "textStyle": {"color": INK}, "inactiveColor": MUTED}


def _time_axis(*, few: bool = False) -> Options:
    return {
        "type": "time",
        "splitNumber": 2 if few else 4,
        "axisLabel": {"color": MUTED, "fontSize": 11, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": LINE}},
        "axisTick": {"show": False},
        "splitLine": {"show": False},
    }


def _value_axis(
    unit: str, *, low: float | None = None, high: float | None = None, few: bool = False, scaled: bool = False
) -> Options:
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
