"""Numbers as people read them: each with its unit, and with what is still possible beside it."""

import re
from collections.abc import Callable
from decimal import Decimal

MISSING = "-"
"""Where nothing has been seen."""

LEAST, MOST = 1e-6, 1e15
"""What lies between is written out."""

_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")

MINUTE, HOUR, DAY, YEAR = 60.0, 3_600.0, 86_400.0, 31_536_000.0


def share(value: float | None) -> str:
    """A rate in per cent, with as many digits as it takes to tell it from 0 and 100.

    >>> share(0.9042), share(0.0035), share(0.0), share(0.00004), share(None)
    ('90.4 %', '0.35 %', '0 %', '0.004 %', '-')
    """
    if value is None:
        return MISSING
    percent = 100 * value
    edge = min(abs(percent), abs(100 - percent))
    digits = 0 if edge == 0 else 1 if edge >= 1 else 2 if edge >= 0.01 else 3
    return f"{percent:.{digits}f} %"


def points(value: float | None) -> str:
    """A difference of two rates, in points of a hundred.

    >>> points(0.0358), points(-0.02), points(0.0)
    ('+3.6 points', '-2.0 points', '0.0 points')
    """
    return MISSING if value is None else f"{_signed(100 * value, 1)} points"


def whole(value: float | None) -> str:
    """A count.

    >>> whole(12000)
    '12,000'
    """
    return MISSING if value is None else f"{value:,.0f}"


def milliseconds(value: float | None) -> str:
    """A duration of one request.

    >>> milliseconds(0.532), milliseconds(12.34), milliseconds(1520.0)
    ('0.53 ms', '12.3 ms', '1,520 ms')
    """
    if value is None:
        return MISSING
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f} ms"


def plain(value: float | None) -> str:
    """A number whose unit is not known: all of its whole part, at least three digits that matter, no powers of ten.

    >>> plain(0.123456), plain(3.0), plain(-14463.2), plain(112_700.4), plain(0.0000123), plain(9.996)
    ('0.123', '3', '-14,463', '112,700', '0.0000123', '10')
    >>> plain(1e-9), plain(-1e18)
    ('nearly 0', 'under -1,000,000,000,000,000')
    """
    if value is None:
        return MISSING
    text = _written(value, _digits(value))
    return text.rstrip("0").rstrip(".") if "." in text else text


def pair(live: float | None, shadow: float | None) -> tuple[str, str]:
    """Two numbers to be read side by side: as many decimals in both as the one that needs more of them has.

    >>> pair(112.7, 98.04), pair(1520.4, 1498.2), pair(0.52, None)
    (('112.7', '98.0'), ('1,520', '1,498'), ('0.520', '-'))
    """
    known = [one for one in (live, shadow) if one is not None]
    digits = max(map(_digits, known), default=0)
    first, second = (MISSING if one is None else _written(one, digits) for one in (live, shadow))
    return first, second


def exact(text: str) -> str:
    """A number as it stands in a record, with all of its digits and thousands; any other text as it is.

    >>> exact("150743.59"), exact("-171310"), exact("0.5"), exact("1e-07"), exact("error: no")
    ('150,743.59', '-171,310', '0.5', '0.0000001', 'error: no')
    """
    if not _NUMBER.fullmatch(text):
        return text
    return f"{Decimal(text):,f}"


def anything(value: object, missing: str = MISSING) -> str:
    """What stands in a record where a number should.

    >>> anything(12000), anything(0.5), anything(None), anything("12"), anything(True)
    ('12,000', '0.5', '-', '?', '?')
    """
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "?"
    return f"{value:,}" if isinstance(value, int) else plain(value)


def memory(value: float | None) -> str:
    """Bytes.

    >>> memory(148_000_000), memory(3_200_000_000)
    ('148 MB', '3.2 GB')
    """
    if value is None:
        return MISSING
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(seconds: float | None) -> str:
    """A time to wait, roughly.

    >>> duration(40), duration(150), duration(9000), duration(200_000), duration(1e8), duration(None)
    ('less than a minute', '2 minutes', '2.5 hours', '2.3 days', '3.2 years', '-')
    """
    if seconds is None:
        return MISSING
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < 90 * MINUTE:
        minutes = round(seconds / MINUTE)
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    for unit, size, most in (("hours", HOUR, 2 * DAY), ("days", DAY, 2 * YEAR)):
        if seconds < most:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / YEAR:,.1f} years"


FORMATS: dict[str, Callable[[float | None], str]] = {
    "share": share,
    "points": points,
    "count": whole,
    "ms": milliseconds,
    "number": plain,
}
"""How numbers of each unit are written."""


def between(low: float | None, high: float | None, unit: str) -> str:
    """What is still possible, in words; empty where no interval is known.

    >>> between(0.001, 0.0035, "share"), between(-0.01, 0.02, "points"), between(None, None, "share")
    ('between 0.10 % and 0.35 %', 'between -1.0 and +2.0 points', '')
    """
    if low is None or high is None:
        return ""
    write = FORMATS[unit]
    return f"between {write(low).removesuffix(' points')} and {write(high)}"


def counted(amount: float, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "request"), counted(1200, "request")
    ('1 request', '1,200 requests')
    """
    return f"{amount:,.0f} {noun}" if amount == 1 else f"{amount:,.0f} {noun}s"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _digits(value: float) -> int:
    """Decimals that make three digits that matter."""
    if value == 0 or not LEAST <= abs(value) < MOST:
        return 0
    return max(0, 2 - int(f"{abs(value):.2e}".partition("e")[2]))


def _written(value: float, digits: int) -> str:
    if abs(value) >= MOST:
        return f"over {MOST:,.0f}" if value > 0 else f"under {-MOST:,.0f}"
    if 0 < abs(value) < LEAST:
        return "nearly 0"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if round(value, digits) == 0 else text


def _signed(value: float, digits: int) -> str:
    text = f"{value:+,.{digits}f}"
    return text[1:] if round(value, digits) == 0 else text
