"""What is kept of one request id: its comparisons, its labels, and which label counts for which comparison. Pure.

After a crash both topics are read again, in another order between them, so nothing here depends on that order. A label
is within reach of a comparison if Kafka's times of the two are at most the horizon apart, in whole hours. Of the labels
within reach the last one by its offset counts; all labels of an id are in one partition, where their order is fixed. So
the outcome that counts is a function of the comparisons and labels that were read, and in whatever order they are read,
the outcomes that were written add up to the ones that count.

What has expired no longer counts: a comparison after its horizon, a label one horizon later, because until then a
comparison within its reach may come. So a comparison never outlives a label within its reach.

The expiry watermark says up to where everything has expired and is counted; it only grows. Entries are swept one after
the other in the order of their ids, again and again. So the watermark has two parts: the hour that the last full sweep
reached, and how far the current sweep has come with the hour it aims at.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import msgspec

from shadowbus.limits import LATEST_MS

IN_AN_HOUR = 3
"""How many labels of one hour are kept, so that an id whose label is corrected endlessly does not grow. Earlier ones no
longer count: of two that differ in one hour either both are within reach or neither, so what counts is found among the
last two, and what counted before among the last three."""

NEVER = 0xFFFF_FFFF
"""Later than every hour."""


def hour_of(timestamp_ms: int) -> int:
    """The hour of one of Kafka's times; 0 for a record that has none, and never beyond what four bytes can hold.

    >>> hour_of(7_200_001), hour_of(-1), hour_of(1 << 63)
    (2, 0, 1139560)
    """
    return min(max(0, timestamp_ms), LATEST_MS) // _HOUR_MS


class ExpiryWatermark(NamedTuple):
    """What has expired: of every id what ends up to the hour `done`; of ids up to `to` also what ends up to `aim`.

    >>> under_way = ExpiryWatermark(7, 9, b"m")
    >>> under_way.over(8, b"a"), under_way.over(8, b"z"), under_way.over(7, b"z")
    (True, False, True)
    """

    done: int = -1
    aim: int = -1
    to: bytes = b""

    def over(self, hour: int, key: bytes) -> bool:
        """Whether what ends in this hour, of this id, has expired."""
        return hour <= self.done or (hour <= self.aim and key <= self.to)

    @property
    def under_way(self) -> bool:
        """Whether a sweep is under way."""
        return self.aim > self.done


START = ExpiryWatermark()


class KeptLabel(msgspec.Struct, array_like=True, frozen=True):
    """One label. `hour` is that of its record, counted from the entry's; `value` is JSON."""

    hour: int
    value: bytes
    timestamp_ms: int
    probability: float | None = None


class KeptComparison(msgspec.Struct, array_like=True, frozen=True):
    """The parts of a comparison that are needed to judge it. `hour` is that of its record, counted from the entry's.

    `shared` stands for the fields that many comparisons share (`dictionary.py`). Predictions are JSON. Scores are the
    values alone where the shared fields have their names; JSON where they are not numbers.
    """

    hour: int
    shared: int | bytes
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
        due: An hour before whose end nothing of it expires.
        labels: Its labels, in the order of their offsets.
        kept: Its comparisons that have not expired, judged or not.

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
        """The hour in which some of it may expire, as four bytes that sort as numbers do; then MessagePack."""
        return self.due.to_bytes(4, "big") + _encode((self.hour - self.due, self.labels, self.kept))

    def __bool__(self) -> bool:
        return bool(self.labels or self.kept)

    def add(self, one: KeptComparison) -> None:
        """Keep a comparison."""
        self.kept.append(one)
        self.due = min(self.due, self.hour + one.hour)

    def correct(self, label: KeptLabel, horizon: int) -> str:
        """Add the next label: the first one is "kept", later ones are "duplicates" or "corrections" of the last."""
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

    def label_for(self, one: KeptComparison, horizon: int, labels: int | None = None) -> KeptLabel | None:
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
            before, now = self.label_for(one, horizon, -1), self.label_for(one, horizon)
            if now is not None and now is not before:
                yield one, before, now

    def drop(self, key: bytes, watermark: ExpiryWatermark, horizon: int) -> list[KeptComparison]:
        """Forget what has expired; returns the expired comparisons that never had a label."""
        start, over = self.hour, [one for one in self.kept if watermark.over(self.hour + one.hour, key)]
        unmet = [one for one in over if self.label_for(one, horizon) is None]
        if over:
            self.kept = [one for one in self.kept if not watermark.over(start + one.hour, key)]
        self.labels = [label for label in self.labels if not watermark.over(start + label.hour + horizon, key)]
        ends = [start + one.hour for one in self.kept] + [start + label.hour + horizon for label in self.labels]
        self.due = min(ends, default=NEVER)
        return unmet


_HOUR_MS = 3_600_000


"""Nothing has expired."""
