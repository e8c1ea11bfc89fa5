"""On which days there was traffic, by the hour: how long a trial was watched, which first and last times do not tell.

In: the times of what counts. Out: when the traffic began and ended, and the days in between that had none. One record
with an odd time, in the past or the future, changes neither; two hours a week apart are no week.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.limits import MOST_DAYS
from shadowbus.verdict.conditions import DAY_MS

HOUR_MS = 3_600_000
HOURS = 24

ODD = 0.01
"""A day with less than this part of the busiest day's requests says nothing of what is usual, nor does an hour with
less than this part of its day's say when traffic began or ended."""

IDLE = 0.1
"""A day with less than this part of a usual day's requests had no traffic."""


class Watched(NamedTuple):
    """When traffic began and ended, in milliseconds, and how many whole days in between had none."""

    first_ms: int
    last_ms: int
    idle_days: int


@dataclass(slots=True)
class Days:
    """By day (of UTC, counted from 1970): the first and the last time, then the number of requests in each hour.

    >>> Days.of(np.array([0, HOUR_MS, 7 * DAY_MS, 7 * DAY_MS + HOUR_MS])).watched()
    Watched(first_ms=0, last_ms=608400000, idle_days=6)
    """

    rows: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> Self:
        """The days of some times, given in milliseconds."""
        found = cls()
        days = times // DAY_MS
        for day in np.unique(days).tolist():
            mine = times[days == day]
            hours = np.bincount(mine % DAY_MS // HOUR_MS, minlength=HOURS)
            found.rows[day] = [int(mine.min()), int(mine.max()), *hours.tolist()]
        found._bound()
        return found

    def absorb(self, other: "Days") -> None:
        """Add others to these; the others stay as they are."""
        for day, (first, last, *hours) in other.rows.items():
            if (mine := self.rows.get(day)) is None:
                self.rows[day] = [first, last, *hours]
            else:
                sums = (one + more for one, more in zip(mine[2:], hours, strict=True))
                self.rows[day] = [min(mine[0], first), max(mine[1], last), *sums]
        self._bound()

    def watched(self) -> Watched | None:
        """From when to when there was traffic; None where there was none."""
        busy = sorted(self._busy())
        if not busy:
            return None
        first, last = self._edge(busy[0], end=False), self._edge(busy[-1], end=True)
        if last - first >= DAY_MS - HOUR_MS:  # a day from its first hour to its last is a day
            first, last = first - first % DAY_MS if first % DAY_MS < HOUR_MS else first, _rounded_up(last)
        return Watched(first, last, busy[-1] - busy[0] + 1 - len(busy))

    def _busy(self) -> Iterator[int]:
        """The days that had traffic. What is usual is the median, so that neither a rush nor odd times move it."""
        sums = {day: sum(row[2:]) for day, row in self.rows.items()}
        most = max(sums.values(), default=0)
        usual = statistics.median([count for count in sums.values() if count >= ODD * most] or [0])
        return (day for day, count in sums.items() if count >= IDLE * usual)

    def _edge(self, day: int, *, end: bool) -> int:
        """When the traffic of a day begins or ends."""
        first, last, *hours = self.rows[day]
        there = [hour for hour, count in enumerate(hours) if count and count >= ODD * sum(hours)]
        if end:
            return min(last, day * DAY_MS + (there[-1] + 1) * HOUR_MS)
        return max(first, day * DAY_MS + there[0] * HOUR_MS)

    def _bound(self) -> None:
        """Keep the newest days; those of a union are among the newest of its parts, so merging works in any order."""
        for day in sorted(self.rows)[:-MOST_DAYS]:
            del self.rows[day]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def to_record(self) -> dict[str, list[int]]:
        """As they stand in totals."""
        return {str(day): self.rows[day] for day in sorted(self.rows)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back.

        Raises:
            AttributeError, TypeError, ValueError: They are not days.
        """
        found = cls()
        for day, (first, last, *hours) in record.items():
            row = [int(first), int(last), *map(int, hours)]
            if len(hours) != HOURS or min(row) < 0 or not int(day) * DAY_MS <= row[0] <= row[1] or not any(row[2:]):
                raise ValueError(f"{day!r} is not a day with its hours")
            found.rows[int(day)] = row
        found._bound()
        return found


def _rounded_up(at_ms: int) -> int:
    short = -at_ms % DAY_MS
    return at_ms + short if short <= HOUR_MS else at_ms
