"""Whether what is published of a trial is as new as what it rests on. Pure.

Where the agents do not publish, nothing else shows it: they have read all partials, and lag behind nobody.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from shadowbus.errors import Malformed
from shadowbus.records import Aggregate, Partial, decode

STALE_SECONDS = 20.0
"""Agents publish every second or few; while they start, or after an outage, they need some more."""

ENOUGH = 50
"""This many partials of one trial in a row, none of them published, are enough to tell."""

STALE_SAMPLE = 1_000
"""How many of the newest partials tell whether they are published."""

WHOLE = b'"all"'
"""Twice in a record of a whole trial: its segment and its window."""

Kind = TypeVar("Kind", Aggregate, Partial)


def stale_trials(partials: Iterable[bytes], aggregates: Iterable[bytes], now_ms: int) -> dict[str, float]:
    """By trial for how many seconds new totals have not been published, where that is too long.

    Args:
        partials: The newest records of the partials topic, several of each trial; those of one partition in order.
        aggregates: The newest of each key.
        now_ms: The time.
    """
    published = {one.trial: one for one in _whole(aggregates, Aggregate)}
    seen: defaultdict[str, list[Partial]] = defaultdict(list)
    for partial in _whole(partials, Partial):
        seen[partial.trial].append(partial)
    found = {trial: _seconds(sources, published.get(trial), now_ms) for trial, sources in seen.items()}
    return {trial: seconds for trial, seconds in sorted(found.items()) if seconds > STALE_SECONDS}


def _seconds(partials: list[Partial], published: Aggregate | None, now_ms: int) -> float:
    times, published_ms = sorted(one.updated_ms for one in partials), published.updated_ms if published else 0
    unseen = [at for at in times if at > published_ms]
    newest = {one.partition: one.totals for one in partials}
    if not unseen or (published is not None and _count(newest.values()) == _count([published.totals])):
        return 0.0  # what comes again, with nothing new in it, is not published again
    first = published_ms if published_ms and len(unseen) == len(times) >= ENOUGH else unseen[0]
    return max(0.0, (now_ms - first) / 1000)


def _count(totals: Iterable[Mapping[str, object]]) -> int:
    """How many comparisons and labels."""
    count = 0
    for one in totals:
        statuses = one.get("statuses")
        counts = [*statuses.values(), one.get("labels", 0)] if isinstance(statuses, dict) else []
        count += sum(number for number in counts if isinstance(number, int))
    return count


def _whole(values: Iterable[bytes], kind: type[Kind]) -> Iterator[Kind]:
    """The records of whole trials among these values."""
    for value in values:
        if value.count(WHOLE) < 2:
            continue
        try:
            record = decode(kind, value)
        except Malformed:
            continue
        if record.segment == record.window == "all":
            yield record
