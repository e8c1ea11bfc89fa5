"""Times as files have them, in milliseconds since the epoch. Pure: asks no clock."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from shadowbus.settings.backtest import UNITS


def moments_of(column: Sequence[Any], unit: str) -> list[int | None]:
    """N times from n values; None where one is no time.

    Args:
        column: Numbers, ISO 8601 texts or datetimes; those without a time zone are in UTC.
        unit: What numbers count.

    >>> moments_of([1700000000, "1700000000", "2023-11-14T22:13:20Z", "2023-11-14 22:13:20.5", "soon", None], "s")
    [1700000000000, 1700000000000, 1700000000000, 1700000000500, None, None]
    """
    if unit == "ms" and set(map(type, column)) == {int}:
        return list(column)
    per = UNITS[unit]
    return [_moment(value, per) for value in column]


def _moment(value: Any, per: float) -> int | None:
    if isinstance(value, str):
        value = _from_text(value)
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int) and per == 1:
            return value
        if isinstance(value, int | float):
            return round(value * per) if per >= 1 or isinstance(value, float) else value // round(1 / per)
        if isinstance(value, date):
            return _from_date(value)
    except (ValueError, OverflowError):
        pass
    return None


def _from_text(text: str) -> object:
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _from_date(moment: date) -> int:
    whole = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    aware = whole if whole.tzinfo is not None else whole.replace(tzinfo=UTC)
    seconds = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (seconds.days * 86_400 + seconds.seconds) * 1000 + seconds.microseconds // 1000
