"""What is kept of one request id: its comparisons, its labels, and which label counts for which comparison. Pure.

After a crash the two topics are read again, in another order between them than before. So nothing here rests on that
order. A label is within reach of a comparison if Kafka's times of the two lie no more than the horizon apart, in whole
hours. Of the labels within reach the last one by its offset counts, and labels of one id lie in one partition, where
their order is fixed. So which outcome stands is a function of the comparisons and labels that were read, and whatever
is read, in whatever order, the outcomes that were written add up to those that stand.

What is over (`entry.py`) no longer counts: a comparison after its horizon, a label one horizon later, since until then
a comparison may come that it reaches. So all labels within reach of a comparison are there as long as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import msgspec

from shadowbus.limits import LATEST_MS

IN_AN_HOUR = 3
"""So many labels that follow each other in one hour are kept: an id whose label is corrected without end costs no more
each time. Those before cannot count any more: of two in one hour that differ, both are within reach or none is, and
what counts is found without looking behind the second; nor behind the third, when it is asked what counted before."""

NEVER = 0xFFFF_FFFF
"""Later than every hour."""


def hour_of(timestamp_ms: int) -> int:
    """The hour of one of Kafka's times; 0 for a record that has none, and never beyond what four bytes can hold.

    >>> hour_of(7_200_001), hour_of(-1), hour_of(1 << 63)
    (2, 0, 1139560)
    """
    return min(max(0, timestamp_ms), LATEST_MS) // _HOUR_MS


class ExpiryWatermark(NamedTuple):
    """What is over: of every id what ends up to the hour `done`; of ids up to `to` also what ends up to `aim`.

    >>> under_way = ExpiryWatermark(7, 9, b"m")
    >>> under_way.over(8, b"a"), under_way.over(8, b"z"), under_way.over(7, b"z")
    (True, False, True)
    """

    done: int = -1
    aim: int = -1
    to: bytes = b""

    def over(self, hour: int, key: bytes) -> bool:
        """Whether what ends in this hour, of this id, is over."""
        return hour <= self.done or (hour <= self.aim and key <= self.to)

    @property
    def under_way(self) -> bool:
        """Whether a sweep has begun and not ended."""
        return self.aim > self.done


START = ExpiryWatermark()


class KeptLabel(msgspec.Struct, array_like=True, frozen=True):
    """One label. `hour` is that of its record, counted from the entry's; `value` is JSON."""

    hour: int
    value: bytes
    timestamp_ms: int
    probability: float | None = None


class KeptComparison(msgspec.Struct, array_like=True, frozen=True):
    """A comparison, as far as needed to judge it. `hour` is that of its record, counted from the entry's.

    `frame` stands for the fields that many comparisons share (`dictionary.py`). Predictions are JSON. Scores are the
    values alone where the shared fields have their names; JSON where they are not numbers.
    """

    hour: int
    frame: int | bytes
    agree: bool | None
    live: bytes
    live_scores: list[float] | bytes | None
    shadow: bytes
    shadow_scores: list[float] | bytes | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[KeptLabel], list[KeptComparison]]).decode


@dataclass(slots=True)
class Entry:
    """All that is kept of one id.

    Attributes:
        hour: The hour that the others are counted from.
        due: An hour before whose end nothing of it is over.
        labels: Its labels, in the order of their offsets.
        kept: Its comparisons that are not over, judged or not.

    >>> entry, one = Entry(100), KeptComparison(10, 0, True, b"1", None, b"0", None)
    >>> entry.add(one), entry.judged_by(one, 24)
    (None, None)
    >>> [entry.correct(KeptLabel(hour, value, 7), 24) for hour, value in ((0, b"0"), (1, b"0"), (2, b"1"), (40, b"0"))]
    ['kept', 'duplicates', 'corrections', 'corrections']
    >>> entry.judged_by(one, 24)
    KeptLabel(hour=2, value=b'1', timestamp_ms=7, probability=None)
    """

    hour: int
    due: int = NEVER
    labels: list[KeptLabel] = field(default_factory=list)
    kept: list[KeptComparison] = field(default_factory=list)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """What `to_bytes` wrote."""
        due = int.from_bytes(packed[:4], "big")
        after, labels, kept = _decode(memoryview(packed)[4:])
        return cls(due + after, due, labels, kept)

    def to_bytes(self) -> bytes:
        """When something of it is over, as four bytes that compare as numbers do; the rest as MessagePack."""
        return self.due.to_bytes(4, "big") + _encode((self.hour - self.due, self.labels, self.kept))

    def __bool__(self) -> bool:
        return bool(self.labels or self.kept)

    def add(self, one: KeptComparison) -> None:
        """Keep a comparison."""
        self.kept.append(one)
        self.due = min(self.due, self.hour + one.hour)

    def correct(self, label: KeptLabel, horizon: int) -> str:
        """Take the next label: it is the first ("kept"), says the same as the last one, or corrects it."""
        last = self.labels[-1] if self.labels else None
        if last is not None and last.value == label.value and last.hour == label.hour:
            return "duplicates"
        self.labels.append(label)
        self.due = min(self.due, self.hour + label.hour + horizon)
        newest = self.labels[-IN_AN_HOUR - 1 :]
        if len(newest) > IN_AN_HOUR and all(one.hour == label.hour for one in newest):
            del self.labels[-IN_AN_HOUR - 1]
        if last is None:
            return "kept"
        return "duplicates" if last.value == label.value else "corrections"

    def judged_by(self, one: KeptComparison, horizon: int, labels: int | None = None) -> KeptLabel | None:
        """The label that counts for a comparison: of the last ones within reach that say the same, the first.

        So a label that is only repeated changes nothing. `labels` is how many there are to go by; all of them if None.
        """
        found: KeptLabel | None = None
        for label in reversed(self.labels[:labels]):
            if abs(label.hour - one.hour) <= horizon:
                if found is not None and found.value != label.value:
                    break
                found = label
        return found

    def changes(self, horizon: int) -> Iterator[tuple[KeptComparison, KeptLabel | None, KeptLabel]]:
        """The comparisons for which the last label counts and did not before: what counted before, what does now."""
        for one in self.kept:
            before, now = self.judged_by(one, horizon, -1), self.judged_by(one, horizon)
            if now is not None and now is not before:
                yield one, before, now

    def drop(self, key: bytes, swept: ExpiryWatermark, horizon: int) -> list[KeptComparison]:
        """Forget what is over; returns those comparisons among it that no label has met."""
        start, over = self.hour, [one for one in self.kept if swept.over(self.hour + one.hour, key)]
        unmet = [one for one in over if self.judged_by(one, horizon) is None]
        if over:
            self.kept = [one for one in self.kept if not swept.over(start + one.hour, key)]
        self.labels = [label for label in self.labels if not swept.over(start + label.hour + horizon, key)]
        ends = [start + one.hour for one in self.kept] + [start + label.hour + horizon for label in self.labels]
        self.due = min(ends, default=NEVER)
        return unmet


_HOUR_MS = 3_600_000


"""Nothing is over."""
