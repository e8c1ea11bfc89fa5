"""What is kept of one request id: its comparisons, its labels, and which label counts for which comparison. Pure.

After a crash the two topics are read again, in another order between them than before. So nothing here rests on that
order. A label is within reach of a comparison if Kafka's times of the two lie no more than the horizon apart, in whole
hours. Of the labels within reach the last one by its offset counts, and labels of one id lie in one partition, where
their order is fixed. So which outcome stands is a function of the comparisons and labels that were read, and whatever
is read, in whatever order, the outcomes that were written add up to those that stand.

What is over (`swept.py`) no longer counts: a comparison after its horizon, a label one horizon later, since until then
a comparison may come that it reaches. So all labels within reach of a comparison are there as long as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import msgspec

from shadowbus.judge.swept import Swept

IN_AN_HOUR = 3
"""So many labels that follow each other in one hour are kept: an id whose label is corrected without end costs no more
each time. Those before cannot count any more: of two in one hour that differ, both are within reach or none is, and
what counts is found without looking behind the second; nor behind the third, when it is asked what counted before."""

NEVER = 0xFFFF_FFFF
"""Later than every hour."""


class Label(msgspec.Struct, array_like=True, frozen=True):
    """One label. `hour` is that of its record, counted from the entry's; `value` is JSON."""

    hour: int
    value: bytes
    timestamp_ms: int
    probability: float | None = None


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """A comparison, as far as needed to judge it. `hour` is that of its record, counted from the entry's.

    What many have in common is in `frame` (see `frames.py`). Predictions are JSON. Scores are the values alone where
    the frame has their names; JSON where they are not numbers.
    """

    hour: int
    frame: int | bytes
    agree: bool | None
    live: bytes
    live_scores: list[float] | bytes | None
    shadow: bytes
    shadow_scores: list[float] | bytes | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[Label], list[Kept]]).decode


@dataclass(slots=True)
class Entry:
    """All that is kept of one id.

    Attributes:
        hour: The hour that the others are counted from.
        due: An hour before whose end nothing of it is over.
        labels: Its labels, in the order of their offsets.
        kept: Its comparisons that are not over, judged or not.

    >>> entry, one = Entry(100), Kept(10, 0, True, b"1", None, b"0", None)
    >>> entry.add(one), entry.judged_by(one, 24)
    (None, None)
    >>> [entry.correct(Label(hour, value, 7), 24) for hour, value in ((0, b"0"), (1, b"0"), (2, b"1"), (40, b"0"))]
    ['kept', 'duplicates', 'corrections', 'corrections']
    >>> entry.judged_by(one, 24)
    Label(hour=2, value=b'1', timestamp_ms=7, probability=None)
    """

    hour: int
    due: int = NEVER
    labels: list[Label] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

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

    def add(self, one: Kept) -> None:
        """Keep a comparison."""
        self.kept.append(one)
        self.due = min(self.due, self.hour + one.hour)

    def correct(self, label: Label, horizon: int) -> str:
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

    def judged_by(self, one: Kept, horizon: int, labels: int | None = None) -> Label | None:
        """The label that counts for a comparison: of the last ones within reach that say the same, the first.

        So a label that is only repeated changes nothing. `labels` is how many there are to go by; all of them if None.
        """
        found: Label | None = None
        for label in reversed(self.labels[:labels]):
            if abs(label.hour - one.hour) <= horizon:
                if found is not None and found.value != label.value:
                    break
                found = label
        return found

    def changes(self, horizon: int) -> Iterator[tuple[Kept, Label | None, Label]]:
        """The comparisons for which the last label counts and did not before: what counted before, what does now."""
        for one in self.kept:
            before, now = self.judged_by(one, horizon, -1), self.judged_by(one, horizon)
            if now is not None and now is not before:
                yield one, before, now

    def drop(self, key: bytes, swept: Swept, horizon: int) -> list[Kept]:
        """Forget what is over; returns those comparisons among it that no label has met."""
        start, over = self.hour, [one for one in self.kept if swept.over(self.hour + one.hour, key)]
        unmet = [one for one in over if self.judged_by(one, horizon) is None]
        if over:
            self.kept = [one for one in self.kept if not swept.over(start + one.hour, key)]
        self.labels = [label for label in self.labels if not swept.over(start + label.hour + horizon, key)]
        ends = [start + one.hour for one in self.kept] + [start + label.hour + horizon for label in self.labels]
        self.due = min(ends, default=NEVER)
        return unmet
