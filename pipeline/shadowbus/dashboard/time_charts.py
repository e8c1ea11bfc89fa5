"""How it went over time, as ECharts options: criteria as they narrow, and windows. Pure; see `look.py`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowbus.dashboard.look import (
    BAD,
    GOOD,
    INK,
    LIVE,
    MUTED,
    SHADOW,
    WARN,
    Options,
    frame,
    legend,
    time_axis,
    value_axis,
)
from shadowbus.story.criteria import Criterion
from shadowbus.story.figures import FORMATS
from shadowbus.story.history import Point
from shadowbus.story.timeline import Moment, thick

STATE_COLOURS = {"holds": GOOD, "fails": BAD, "open": WARN}
NEARLY_ALL = 0.5
"""Of shares above it, the axis is told where to end."""
SCALES = {"share": 100.0, "points": 100.0}
UNITS = {"share": " %", "points": "", "ms": " ms"}
HEADROOM = 0.6
FEW = 3
"""Fewer points are drawn as points."""


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
        **frame(left=52, right=10, top=8, bottom=20),
        "xAxis": time_axis(*_ends([one.at_ms for one in points]), few=True),
        "yAxis": value_axis(unit, low=round(low * scale, 4), high=round(high * scale, 4), few=True),
        "series": series,
    }


def rates(moments: Sequence[Moment]) -> Options:
    """How often both answer the same, window by window, with what is still possible."""
    moments = thick(moments)
    line = _banded("same answer", SHADOW, [(one.agreement_low, one.agreement, one.agreement_high) for one in moments])
    return _over_time(moments, line, " %", 100.0, high=100.0)


def errors(moments: Sequence[Moment]) -> Options:
    """How often the shadow fails, window by window, with what is still possible."""
    moments = thick(moments)
    ends = [(one.errors_low, one.errors, one.errors_high) for one in moments]
    most = max((one for three in ends for one in three if one is not None), default=0.0)
    high = 100.0 if most > NEARLY_ALL else None  # else the axis ends where nothing can be
    return _over_time(moments, _banded("failures", BAD, ends), " %", 100.0, low=0.0, high=high)


def latency(moments: Sequence[Moment]) -> Options:
    """Latency of both sides, window by window: a line for the median, and a band from there to 95 %."""
    lines = []
    for side, colour in (("live", LIVE), ("shadow", SHADOW)):
        medians = [getattr(one, f"{side}_p50") for one in moments]
        high = [getattr(one, f"{side}_p95") for one in moments]
        lines += _band(side, colour, medians, high, f"{side}, 95 %")
        lines.append(_Line(side, colour, medians))
    return {
        **_over_time(moments, lines, " ms", 1.0, low=0.0, top=30),
        "legend": legend("live", "shadow"),
    }


@dataclass(frozen=True, slots=True)
class _Line:
    """One line; `drawn` says how: itself, or what makes up a band."""

    name: str
    colour: str
    values: Sequence[float | None]
    drawn: Options = field(default_factory=dict)


_Three = tuple[float | None, float | None, float | None]


def _banded(name: str, colour: str, ends: Sequence[_Three]) -> list[_Line]:
    lows, values, highs = ([three[place] for three in ends] for place in range(3))
    low = _Line("lowest possible", colour, lows, _UNSEEN)
    return [low, *_band("possible", colour, lows, highs, "highest possible"), _Line(name, colour, values)]


_UNSEEN: Options = {"lineStyle": {"opacity": 0}, "symbol": "none"}


def _band(
    stack: str, colour: str, lows: Sequence[float | None], highs: Sequence[float | None], top: str
) -> list[_Line]:
    """An area between two lines, of which the upper one is named."""
    both = list(zip(lows, highs, strict=True))
    base = [low if high is not None else None for low, high in both]
    widths = [None if low is None or high is None else max(0.0, high - low) for low, high in both]
    stacked = {**_UNSEEN, "stack": stack, "stackStrategy": "all", "tooltip": {"show": False}}
    return [
        _Line(f"{stack}, base", colour, base, stacked),
        _Line(f"{stack}, width", colour, widths, {**stacked, "areaStyle": {"color": colour, "opacity": 0.2}}),
        _Line(top, colour, highs, _UNSEEN),
    ]


def _over_time(
    moments: Sequence[Moment],
    lines: Iterable[_Line],
    unit: str,
    scale: float,
    low: float | None = None,
    high: float | None = None,
    top: int = 12,
) -> Options:
    starts = [one.start_ms for one in moments]

    def drawn(line: _Line) -> Options:
        values = [None if value is None else round(value * scale, 4) for value in line.values]
        return {
            "name": line.name,
            "type": "line",
            "data": [list(point) for point in zip(starts, values, strict=True)],
            "symbol": "circle" if len(moments) < FEW else "none",
            "symbolSize": 8,
            "lineStyle": {"color": line.colour, "width": 2},
            "itemStyle": {"color": line.colour},
            "emphasis": {"disabled": True},
            "animation": False,
            **line.drawn,
        }

    return {
        **frame(left=56, right=14, top=top, bottom=24),
        "xAxis": time_axis(*_ends(starts)),
        "yAxis": value_axis(unit, low=low, high=high, scaled=True),
        "series": [drawn(line) for line in lines],
    }


def _ends(moments: Sequence[int]) -> tuple[int, int]:
    """From the first to the last; around a single one there is a minute."""
    if not moments:
        return 0, 1
    first, last = moments[0], moments[-1]
    return (first, last) if last > first else (first - 30_000, first + 30_000)


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
