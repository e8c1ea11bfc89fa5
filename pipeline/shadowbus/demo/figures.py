"""Numbers as people read them, and an interval as a picture."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

MISSING = "-"


def share(value: float | None, digits: int = 1) -> str:
    """A rate as a percentage.

    >>> share(0.9423), share(None)
    ('94.2 %', '-')
    """
    return MISSING if value is None else f"{100 * value:.{digits}f} %"


def rate_with_interval(rate: Mapping[str, Any], digits: int = 1) -> str:
    """A rate of a summary, with what is still possible.

    >>> rate_with_interval({"value": 0.94, "low": 0.93, "high": 0.951})
    '94.0 % (93.0 to 95.1)'
    """
    if rate.get("value") is None:
        return MISSING
    whole = digits if rate["value"] < 1 else 0
    ends = "" if rate.get("low") is None else f" ({100 * rate['low']:.{digits}f} to {100 * rate['high']:.{whole}f})"
    return f"{share(rate['value'], whole)}{ends}"


def points(value: float | None) -> str:
    """A difference of two rates, in points of a hundred.

    >>> points(0.0393), points(-0.02)
    ('+3.9', '-2.0')
    """
    return MISSING if value is None else f"{100 * value:+.1f}"


def milliseconds(value: float | None) -> str:
    """A latency.

    >>> milliseconds(0.5321), milliseconds(12.34)
    ('0.53', '12.3')
    """
    if value is None:
        return MISSING
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def minutes(seconds: float) -> str:
    """Time on a stopwatch.

    >>> minutes(75.2)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def gauge(criterion: Mapping[str, Any], scale: tuple[float, float], width: int, style: str) -> Text:
    """What was seen (●), what is still possible (━) and the limit (┃), on a line from one end of a scale to the other.

    >>> gauge({"value": 0.0, "low": -0.1, "high": 0.1, "limit": -0.2}, (-0.25, 0.25), 11, "").plain
    '·┃·━━●━━···'
    """
    picture = ["·"] * width

    def place(value: float) -> int:
        return max(0, min(width - 1, round((value - scale[0]) / (scale[1] - scale[0]) * (width - 1))))

    if criterion.get("value") is None:
        return Text("".join(picture), style="dim")
    low, high = place(criterion["low"]), place(criterion["high"])
    picture[low : high + 1] = "━" * (high + 1 - low)
    picture[place(criterion["value"])] = "●"
    limit = place(criterion["limit"])
    picture[limit] = "┃"
    text = Text("".join(picture), style="dim")
    text.stylize(f"not dim {style}", low, high + 1)
    text.stylize("not dim bold white", limit, limit + 1)
    return text
