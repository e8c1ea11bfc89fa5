"""Tables of the story as ECharts options: who said what, who was right, how far off, how fast. Pure.

`look.py` says what is safe.
"""

from collections.abc import Iterable, Sequence

from shadowbus.dashboard.look import (
    BAD,
    CARD,
    GOOD,
    INK,
    LINE,
    LIVE,
    MUTED,
    SHADOW,
    Options,
    frame,
    legend,
    value_axis,
)
from shadowbus.story.deviation import Deviation
from shadowbus.story.fields import Table, number
from shadowbus.story.figures import milliseconds
from shadowbus.story.names import for_charts
from shadowbus.story.tables import Confusion, Distribution, WhoWasRight

LABELLED_CLASSES = 12
SHORT_NAME, LONG_NAME = 4, 12
"""Longer names of classes are turned, so that each has its place."""
RANKS = {"p50": "median", "p95": "95 %", "p99": "99 %"}


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
        **frame(left=64, right=8, top=8, bottom=74 if turned else 44),
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
        **frame(left=8, right=8, top=28, bottom=4),
        "legend": legend(),
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


def deviation(found: Deviation) -> Options:
    """How far both sides are off, side by side."""
    texts = list(zip(found.mae_texts, found.rmse_texts, strict=True))
    return _beside(("MAE", "RMSE"), list(zip(found.mae, found.rmse, strict=True)), texts)


def latency(live: Table, shadow: Table) -> Options:
    """How long answers take, side by side."""
    sides = [[number(side, rank) for rank in RANKS] for side in (live, shadow)]
    return _beside(tuple(RANKS.values()), sides, [list(map(milliseconds, side)) for side in sides])


def _beside(names: Sequence[str], sides: Sequence[Sequence[float | None]], texts: Sequence[Sequence[str]]) -> Options:
    """Bars of live and shadow under each name, with their figures."""
    label = {"show": True, "position": "right", "color": INK, "fontSize": 12}
    return {
        **frame(left=62, right=74, top=28, bottom=6),
        "legend": legend(),
        "tooltip": {"show": False},
        "xAxis": {"type": "value", "show": False, "min": 0},
        "yAxis": {
            "type": "category",
            "data": list(names),
            "inverse": True,
            "axisLabel": {"color": MUTED, "fontSize": 12},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": LINE}},
        },
        "series": [
            {
                "name": name,
                "type": "bar",
                "barGap": "15%",
                "barCategoryGap": "30%",
                "data": [
                    {"value": value, "label": {**label, "formatter": text}}
                    for value, text in zip(values, written, strict=True)
                ],
                "itemStyle": {"color": colour},
                "emphasis": {"disabled": True},
                "animation": False,
            }
            for name, colour, values, written in zip(("live", "shadow"), (LIVE, SHADOW), sides, texts, strict=True)
        ],
    }


def distribution(table: Distribution) -> Options:
    """How often each answer comes, on both sides."""
    names = list(map(for_charts, table.names))
    turned = {"rotate": 35, "width": 110} if max(map(len, names), default=0) > LONG_NAME else {}
    return {
        **frame(left=56 if turned else 44, right=8, top=28, bottom=84 if turned else 40),
        "legend": legend(),
        "xAxis": {
            "type": "category",
            "data": names,
            "axisLabel": {"color": MUTED, "width": 80, "overflow": "truncate", "hideOverlap": True, **turned},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": LINE}},
        },
        "yAxis": value_axis(" %", low=0),
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


def _cells(table: Confusion) -> Iterable[tuple[int, int]]:
    size = range(len(table.classes))
    return [(i, j) for i in size for j in size]
