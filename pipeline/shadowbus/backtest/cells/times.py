"""Times as files have them, in milliseconds since the epoch. Pure: asks no clock.

How a column writes its times is found out once, from its first rows. One without a time zone is in UTC.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from shadowbus.errors import Malformed, SettingsError
from shadowbus.limits import LATEST_MS
from shadowbus.settings.backtest import UNITS, BacktestSettings

KNOWN = (
    "ISO 8601, numbers since 1970 in s, ms, us or ns, day.month.year, day/month/year, month/day/year, yyyymmdd and "
    "RFC 2822"
)
"""What is read, for people."""

EARLIEST_MS = 946_684_800_000
"""The year 2000: a number of a plausible time lies between it and 2100."""

FITS = 0.5
"""The least share of a column's first cells that must have a time format for it to be the column's."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?")
_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d[0-5]\d[0-5]\d)?(?:\.0)?")
_ZONE = re.compile(r"\s*(?:(?:UTC|GMT|Z)|([+-]\d\d(?::?\d\d)?(?::\d\d)?)(?:\s*(?:UTC|GMT|[+-]\d{4}))?)?(?:\[[^]]*\])?$")
_FRACTION = re.compile(r"([.,]\d{6})\d+")
_PARTS = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})"
    r"(?:,?[ T]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp]\.?[Mm]\.?)?)?"
)

Moment = int | Malformed | None
"""Milliseconds, or why a cell is no time, or None where there is none."""


@dataclass(frozen=True, slots=True)
class TimeType:
    """How a column of times is read: in words, and the function that reads one text or number.

    The function raises ValueError or OverflowError at what is no time.
    """

    says: str
    one: Callable[[Any], int]

    def moments(self, name: str, values: Sequence[Any]) -> list[Moment]:
        """N times of a column's n values."""
        return [self._moment(name, value) for value in values]

    def _moment(self, name: str, value: Any) -> Moment:
        if value is None or (isinstance(value, str) and not value.strip()) or value != value:
            return None
        try:
            return from_date(value) if isinstance(value, date) else self.one(value)
        except (ValueError, OverflowError, TypeError):
            cell = repr(value if isinstance(value, int | float) else str(value)[:60])
            return Malformed(
                f"column {name!r} is read as {self.says}, and {cell} is none: read are {KNOWN}; "
                "backtest.timestamp_format says otherwise"
            )


def time_type(name: str, sample: Sequence[Any], settings: BacktestSettings, source: object) -> TimeType:
    """How a column writes its times.

    Args:
        name: The column.
        sample: Its first values: texts, numbers, datetimes, None.
        settings: `timestamp_unit` and `timestamp_format` say otherwise than the values.
        source: The file, for errors.

    Raises:
        SettingsError: Its first rows leave the order of day and month, or the unit of numbers, open.
    """
    if settings.timestamp_format:
        return TimeType(f"time, {settings.timestamp_format}", partial(_by_format, settings.timestamp_format))
    found = [value for value in sample if value is not None and not isinstance(value, date) and str(value).strip()]
    texts = [str(value).strip() for value in found]
    if not texts:
        return TimeType("time", _iso)
    if _share(_COMPACT.fullmatch, texts) >= FITS and not settings.timestamp_unit:
        return TimeType("time, yyyymmdd", _compact)
    if _share(_NUMBER.fullmatch, texts) >= FITS:
        return _since_1970(name, [text for text in texts if _NUMBER.fullmatch(text)], settings, source)
    if _share(_PARTS.match, texts) >= FITS:
        return _in_parts(name, [parts for text in texts if (parts := _PARTS.match(text))], source)
    for says, read in (("ISO 8601", _iso), ("RFC 2822", _rfc_2822)):
        if _share(partial(_reads, read), texts) >= FITS:
            return TimeType(f"time, {says}", read)
    return TimeType("time, ISO 8601", _iso)


def from_date(moment: date) -> int:
    """Milliseconds of a date or a datetime; of a date its beginning.

    >>> from_date(datetime(2023, 11, 14, 22, 13, 20)), from_date(date(1970, 1, 2))
    (1700000000000, 86400000)
    """
    whole = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    aware = whole if whole.tzinfo is not None else whole.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _since_1970(name: str, texts: Sequence[str], settings: BacktestSettings, source: object) -> TimeType:
    unit = settings.timestamp_unit or _unit([float(text) for text in texts])
    if not unit:
        raise SettingsError(
            f"{source}: the numbers in column {name!r}, such as {texts[0]}, are no times between 2000 and 2100 in s, "
            "ms, us or ns since 1970: set 'backtest.timestamp' to the column of the time, or 'backtest.timestamp_unit'."
        )
    return TimeType(f"time, {unit} since 1970", lambda value: _from_number(value, unit))


def _unit(numbers: Sequence[float]) -> str:
    for unit, per in UNITS.items():
        if sum(EARLIEST_MS <= number * per < LATEST_MS for number in numbers) >= FITS * len(numbers):
            return unit
    return ""


def _from_number(value: Any, unit: str) -> int:
    """Whole numbers stay whole: a float has too few digits for nanoseconds."""
    if isinstance(value, bool):
        raise TypeError(value)
    per = UNITS[unit]
    try:
        whole = value if isinstance(value, float) else int(value)
    except ValueError:
        whole = float(value)
    if isinstance(whole, int):
        return whole * round(per) if per >= 1 else whole // round(1 / per)
    return round(whole * per)


def _compact(value: Any) -> int:
    text = str(value).strip().removesuffix(".0")
    return from_date(datetime.strptime(text, "%Y%m%d%H%M%S" if len(text) > 8 else "%Y%m%d").replace(tzinfo=UTC))


def _by_format(pattern: str, value: Any) -> int:
    return from_date(datetime.strptime(str(value).strip(), pattern))  # noqa: DTZ007  # without a zone it is in UTC


def _iso(value: Any) -> int:
    """ISO 8601 as programs write it: a space for the T, nanoseconds, ` UTC`, `+00`, ` +0000`, `[Europe/Berlin]`.

    >>> [_iso(text) for text in ("2023-11-14T22:13:20Z", "2023-11-14 23:13:20.123456789+01", "2023-11-14 22:13:20 UTC")]
    [1700000000000, 1700000000123, 1700000000000]
    """
    text = str(value).strip()
    try:
        return from_date(datetime.fromisoformat(text))
    except ValueError:
        pass
    zone = _ZONE.search(text)
    plain = _FRACTION.sub(r"\1", text[: zone.start()] if zone else text).replace("/", "-")
    offset = (zone[1] or "+00:00") if zone and zone[0].strip() else ""
    return from_date(datetime.fromisoformat(plain + offset))


def _rfc_2822(value: Any) -> int:
    return from_date(parsedate_to_datetime(str(value)))


def _in_parts(name: str, found: Sequence[re.Match[str]], source: object) -> TimeType:
    """Day and month in the order that values over 12 show; with points the day is first unless they show otherwise."""
    first, second = (any(int(parts[number]) > 12 for parts in found) for number in (1, 3))
    sign = found[0][2]
    if sign != "." and first == second:
        why = "both are over 12 in some" if first else "none is over 12"
        raise SettingsError(
            f"{source}: in column {name!r} either day or month may be first ({found[0][0]!r}; {why}): "
            'set \'backtest.timestamp_format\', as "%d/%m/%Y %H:%M:%S" or "%m/%d/%Y %H:%M:%S".'
        )
    day_first = first or not second
    says = f"day{sign}month{sign}year" if day_first else f"month{sign}day{sign}year"
    return TimeType(f"time, {says}", lambda value: _from_parts(str(value).strip(), day_first=day_first))


def _from_parts(text: str, *, day_first: bool) -> int:
    """Day, month and year in the order of their column, with or without a time of day.

    >>> _from_parts("14.11.2023 22:13:20", day_first=True), _from_parts("11/14/23 10:13 PM", day_first=False)
    (1700000000000, 1699999980000)
    """
    parts = _PARTS.match(text)
    if parts is None:
        raise ValueError(text)
    one, _, two, year, hour, minute, second, fraction, half = parts.groups()
    day, month = (int(one), int(two)) if day_first else (int(two), int(one))
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            raise ValueError(text)
        hours = hours % 12 + 12 * (half[0] in "pP")
    century = 0 if len(year) == 4 else 2000
    micro = int((fraction or "0").ljust(6, "0")[:6])
    local = datetime(century + int(year), month, day, hours, int(minute or 0), int(second or 0), micro, tzinfo=UTC)
    rest = text[parts.end() :]
    zone = _ZONE.fullmatch(rest)
    if zone is None:
        raise ValueError(text)
    shift = datetime.fromisoformat(f"2000-01-01T00:00{zone[1]}").utcoffset() if zone[1] else timedelta()
    return from_date(local - (shift or timedelta()))


def _share(fits: Callable[[str], object], texts: Sequence[str]) -> float:
    return sum(bool(fits(text)) for text in texts) / len(texts)


def _reads(read: Callable[[Any], int], text: str) -> bool:
    try:
        read(text)
    except (ValueError, OverflowError, TypeError):
        return False
    return True
