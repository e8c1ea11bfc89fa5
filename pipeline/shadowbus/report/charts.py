"""The charts of one trial: the story in, Vega-Lite out. Pure; `drawing.py` makes pictures of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shadowbus.records import Verdict
from shadowbus.report.look import (
    GRID,
    INK,
    LIVE,
    MUTED,
    SHADOW,
    SIDES,
    STATE_COLOURS,
    Spec,
    axis,
    chart,
    coloured,
    time,
)
from shadowbus.story.criteria import Criterion
from shadowbus.story.history import narrowing
from shadowbus.story.names import for_charts
from shadowbus.story.tables import unlike
from shadowbus.story.timeline import thick
from shadowbus.story.trial import TrialStory

NAME_CHARACTERS = 24
MOST_CELLS = 21
MOST_SEGMENTS = 12
LEAST_POINTS = 3
RATES = (("agreement", "Same answer as live"), ("errors", "Requests the shadow fails on"))


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, with what stands above and below it."""

    title: str
    spec: Spec
    note: str = ""


def charts(story: TrialStory, history: Sequence[Verdict]) -> Iterator[Chart]:
    """Where the two models differ, and how it went, in the order in which a person asks."""
    yield from _deviation(story)
    yield from _right(story)
    yield from _confusion(story)
    yield from _segments(story)
    yield from _distribution(story)
    yield from _latency(story)
    yield from _rates(story)
    yield from _narrowing(story, history)


def interval(one: Criterion) -> Spec | None:
    """One criterion on a line: what was seen, what is still possible, and the limit."""
    numbers = [value for value in (one.value, one.low, one.high, one.limit) if value is not None]
    if one.value is None or one.limit is None or one.unit == "count":
        return None
    low, high = (one.value if end is None else end for end in (one.low, one.high))
    row = {"value": one.value, "low": low, "high": high, "limit": one.limit}
    margin = 0.08 * (max(numbers) - min(numbers)) or abs(one.limit) or 1.0
    scale = {"domain": [min(numbers) - margin, max(numbers) + margin], "nice": False, "zero": False}
    colour = STATE_COLOURS[one.state]

    def place(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "scale": scale, "axis": None}

    layers = [
        {"mark": {"type": "bar", "height": 6, "cornerRadius": 3, "color": GRID}, "encoding": _span(scale)},
        {
            "mark": {"type": "bar", "height": 6, "cornerRadius": 3, "color": colour},
            "encoding": {"x": place("low"), "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "color": colour, "opacity": 1},
            "encoding": {"x": place("value")},
        },
        {"mark": {"type": "tick", "thickness": 2, "size": 22, "color": INK}, "encoding": {"x": place("limit")}},
    ]
    return chart(one.sentence, [row], width=190, height=24, layer=layers)


def _span(scale: Spec) -> Spec:
    first, last = scale["domain"]
    place = {"type": "quantitative", "scale": scale, "axis": None}
    return {"x": {"datum": first, **place}, "x2": {"datum": last}}


def _deviation(story: TrialStory) -> Iterator[Chart]:
    found = story.deviation
    if found is None:
        return
    rows = [
        {"error": name, "side": side, "off": value, "text": text}
        for name, values, texts in (("MAE", found.mae, found.mae_texts), ("RMSE", found.rmse, found.rmse_texts))
        for side, value, text in zip(("live", "shadow"), values, texts, strict=True)
    ]
    encoding = {
        "y": {
            "field": "error",
            "type": "nominal",
            "sort": ["MAE", "RMSE"],
            "axis": {"title": None, "domain": False, "ticks": False},
        },
        "yOffset": {"field": "side"},
        "x": axis("off", None, scale={"zero": True}),
        "color": coloured("side", SIDES),
    }
    written = {"text": {"field": "text", "type": "nominal"}, "color": {"value": INK}}
    layers = [
        {"mark": {"type": "bar", "cornerRadius": 2}},
        {"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": written},
    ]
    yield Chart(
        "How far they are off", chart(found.text, rows, height=120, encoding=encoding, layer=layers), found.text
    )


def _right(story: TrialStory) -> Iterator[Chart]:
    right = story.right
    if not right.labels:
        return
    parts = [
        ("both right", right.both, MUTED, 0.45),
        ("only the shadow", right.shadow_only, SHADOW, 1.0),
        ("only live", right.live_only, LIVE, 1.0),
        ("neither", right.neither, MUTED, 0.2),
    ]
    rows = [{"who": who, "labels": labels} for who, labels, _, _ in parts]
    names = [who for who, _, _, _ in parts]
    encoding = {
        "y": {
            "field": "who",
            "type": "nominal",
            "sort": names,
            "axis": {"title": None, "domain": False, "ticks": False},
        },
        "x": axis("labels", "labels", "count", scale={"zero": True}, grid=False),
        "color": coloured("who", {"domain": names, "range": [colour for *_, colour, _ in parts]}, legend=None),
        "opacity": coloured("who", {"domain": names, "range": [opacity for *_, opacity in parts]}, legend=None),
    }
    written = {"text": {"field": "labels", "format": ","}, "opacity": {"value": 1}, "color": {"value": INK}}
    layers = [
        {"mark": {"type": "bar", "height": 20, "cornerRadius": 2}},
        {"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": written},
    ]
    yield Chart(
        "Who was within the tolerance" if story.deviation else "Who was right",
        chart("Labels by who was right.", rows, height=120, encoding=encoding, layer=layers),
        right.text,
    )


def _confusion(story: TrialStory) -> Iterator[Chart]:
    table = story.confusion
    if table is None or not table.requests or len(table.classes) > MOST_CELLS:
        return
    names = _names(table.classes)
    most = max((count for i, row in enumerate(table.counts) for j, count in enumerate(row) if i != j), default=0) or 1
    rows = [
        {
            "live": names[i],
            "shadow": names[j],
            "requests": count,
            "same": i == j,
            "depth": 0.25 if i == j else 0.15 + 0.85 * count / most,
        }
        for i, row in enumerate(table.counts)
        for j, count in enumerate(row)
        if count
    ]
    place = {"type": "nominal", "sort": names, "scale": {"domain": names}}
    encoding = {
        "x": {
            "field": "shadow",
            **place,
            "axis": {
                "title": "shadow says",
                "labelAngle": -45 if max(map(len, names)) > 3 else 0,
                "domain": False,
                "ticks": False,
            },
        },
        "y": {"field": "live", **place, "axis": {"title": "live says", "domain": False, "ticks": False}},
    }
    colour = {"condition": {"test": "datum.same", "value": MUTED}, "value": SHADOW}
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "cornerRadius": 2},
            "encoding": {"color": colour, "opacity": {"field": "depth", "type": "quantitative", "scale": None}},
        },
    ]
    if len(names) <= 10:
        layers.append(
            {
                "mark": {"type": "text", "fontSize": 10, "color": INK},
                "encoding": {"text": {"field": "requests", "format": "~s" if story.requests > 99_999 else ","}},
            }
        )
    size = max(150, min(330, 33 * len(names)))
    note = f"They differ on {table.differing:,} of {table.requests:,} requests; on the diagonal they agree."
    yield Chart(
        "Who said what",
        chart("Requests by the answer of both.", rows, height=size, encoding=encoding, layer=layers),
        note,
    )


def _segments(story: TrialStory) -> Iterator[Chart]:
    found = [one for one in story.segments if None not in (one.difference, one.low, one.high)]
    if not found:
        return
    found = found[:MOST_SEGMENTS]
    names = _names([one.name for one in found])
    rows = [
        {"segment": name, "value": one.difference, "low": one.low, "high": one.high, "state": one.state or "open"}
        for name, one in zip(names, found, strict=True)
    ]
    off = story.deviation is not None
    limit = next((one.limit for one in story.criteria if one.name == ("loss" if off else "accuracy")), None)
    y = {"field": "segment", "type": "nominal", "sort": names, "axis": {"title": None, "domain": False, "ticks": False}}
    colours = {"domain": list(STATE_COLOURS), "range": list(STATE_COLOURS.values())}
    colour = coloured("state", colours, legend=None)
    unit = "" if off else "share"
    x = axis("low", f"{found[0].measure}, shadow minus live", unit)
    layers: list[Spec] = [
        {"mark": {"type": "rule", "color": MUTED, "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
        {
            "mark": {"type": "bar", "height": 7, "cornerRadius": 3, "opacity": 0.55},
            "encoding": {"y": y, "x": x, "x2": {"field": "high"}, "color": colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {"y": y, "x": axis("value", None, unit), "color": colour},
        },
    ]
    if limit is not None:
        layers.append({"mark": {"type": "rule", "color": INK}, "encoding": {"x": {"datum": limit}}})
    note = f"Each bar is what is still possible. The dashed line is live's own {found[0].measure}"
    note += "." if limit is None else ", the solid one the limit."
    yield Chart(
        "Segments, the most harmed first",
        chart(f"Difference in {found[0].measure} by segment.", rows, height=30 * len(rows) + 10, layer=layers),
        note,
    )


def _distribution(story: TrialStory) -> Iterator[Chart]:
    table = story.distribution
    if table is None or len(table.names) > MOST_CELLS:
        return
    names = _names(table.names)
    sides = (("live", table.live), ("shadow", table.shadow))
    rows = [
        {"answer": name, "side": side, "share": share}
        for side, shares in sides
        for name, share in zip(names, shares, strict=True)
    ]
    angle = -45 if max(map(len, names)) > 3 else 0
    encoding = {
        "x": {
            "field": "answer",
            "type": "nominal",
            "sort": names,
            "axis": {"title": "answer", "labelAngle": angle, "ticks": False},
        },
        "xOffset": {"field": "side"},
        "y": axis("share", None, "share", scale={"zero": True}),
        "color": coloured("side", SIDES),
    }
    yield Chart(
        "How often each answer comes",
        chart("Share of each answer.", rows, mark={"type": "bar"}, encoding=encoding),
        table.text,
    )


def _latency(story: TrialStory) -> Iterator[Chart]:
    names = ("p50", "p95", "p99")
    sides = zip(("live", "shadow"), story.latency, strict=True)
    rows = [
        {"rank": rank, "side": side, "ms": table[rank]}
        for side, table in sides
        for rank in names
        if isinstance(table.get(rank), int | float)
    ]
    if not rows:
        return
    encoding = {
        "y": {
            "field": "rank",
            "type": "nominal",
            "sort": list(names),
            "axis": {"title": None, "domain": False, "ticks": False},
        },
        "yOffset": {"field": "side"},
        "x": axis("ms", "ms", scale={"zero": True}),
        "color": coloured("side", SIDES),
    }
    note = "Half, 95 % and 99 % of the answers take at most so long; the shadow's are rows predicted one at a time."
    yield Chart(
        "Latency",
        chart("Quantiles of latency in ms.", rows, mark={"type": "bar", "cornerRadius": 2}, encoding=encoding),
        f"{note} {unlike(story.latency[0])}".strip(),
    )


def _rates(story: TrialStory) -> Iterator[Chart]:
    for name, title in RATES:
        rows = [
            {"at": moment.start_ms, "value": value}
            for moment in thick(story.timeline)
            if (value := getattr(moment, name)) is not None
        ]
        if len(rows) >= LEAST_POINTS and any(row["value"] for row in rows):
            scale = {"zero": name == "errors", "nice": True}
            span_ms = story.timeline[-1].start_ms - story.timeline[0].start_ms
            encoding = {"x": time("at", span_ms), "y": axis("value", None, "share", scale=scale)}
            mark = {"type": "line", "color": SHADOW, "strokeWidth": 2, "point": {"color": SHADOW, "size": 18}}
            yield Chart(f"{title}, over time", chart(f"{title}, by window.", rows, mark=mark, encoding=encoding))


def _narrowing(story: TrialStory, history: Sequence[Verdict]) -> Iterator[Chart]:
    for one in story.criteria:
        if one.unit == "count" or one.guards:
            continue
        points = [point for point in narrowing(history, one.name) if point.low is not None and point.value is not None]
        if len(points) < LEAST_POINTS:
            continue
        rows = [{"requests": p.requests, "low": p.low, "high": p.high, "value": p.value} for p in points]
        unit = "share" if one.unit in ("share", "points") else ""
        x = axis("requests", "requests", "count", grid=False)
        y = axis("low", None, unit)
        layers: list[Spec] = [
            {
                "mark": {"type": "area", "color": SHADOW, "opacity": 0.22},
                "encoding": {"x": x, "y": y, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "color": SHADOW, "strokeWidth": 2},
                "encoding": {"x": x, "y": axis("value", None, unit)},
            },
        ]
        if one.limit is not None:
            layers.append({"mark": {"type": "rule", "color": INK}, "encoding": {"y": {"datum": one.limit}}})
        note = "The band is what was still possible; it narrows. The line across is the limit."
        yield Chart(f"{one.title}, narrowing", chart(one.sentence, rows, layer=layers), note)


def _names(names: Sequence[str]) -> list[str]:
    """Short, and all different."""
    short: list[str] = []
    for name in names:
        text = for_charts(name, NAME_CHARACTERS)
        while text in short:
            text += "'"
        short.append(text)
    return short
