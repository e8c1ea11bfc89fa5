"""What is kept of one request id, which label counts for which comparison, and until when. Pure.

After a crash the two topics are read again, in another order between them than before. So nothing here rests on that
order: a label counts for a comparison if Kafka's times of the two lie within the horizon of each other, in whole hours.
What is over is told by a mark that only grows, the same for every reader: a comparison is over when the mark passes its
hour, a label one horizon later, since until then a comparison may come that it counts for.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import orjson

Mark = tuple[int, bytes]
"""An hour since the epoch and a request id: when something of that id is over."""

START: Mark = (0, b"")
"""Before every mark."""

_HOUR_MS = 3_600_000


def hour_of(timestamp_ms: int) -> int:
    """The hour of one of Kafka's times; 0 for a record that has none.

    >>> hour_of(7_200_001), hour_of(-1)
    (2, 0)
    """
    return max(0, timestamp_ms) // _HOUR_MS


class Label(NamedTuple):
    """The first label of an id, and the hours of the first and last record that gave one."""

    first: int
    last: int
    value: Any
    timestamp_ms: int
    probability: float | None = None


class Waiting(NamedTuple):
    """A comparison that waits for its label, as far as needed to judge it; `hour` is that of its record."""

    hour: int
    trial: str
    live_prediction: Any
    live_scores: Any
    shadow_prediction: Any
    shadow_scores: Any
    segments: Any
    weight: Any
    agree: Any


@dataclass(slots=True)
class Entry:
    """All that is kept of one id. More than one label only if they lie more than two horizons apart.

    >>> entry = Entry()
    >>> entry.add_label(100, "yes", 7, 24)
    True
    >>> entry.add_label(101, "no", 8, 24)
    True
    >>> entry.label_for(125, 24)
    Label(first=100, last=101, value='yes', timestamp_ms=7, probability=None)
    >>> entry.label_for(126, 24) is None
    True
    """

    labels: list[Label] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    @classmethod
    def from_bytes(cls, kept: bytes) -> Self:
        """What `to_bytes` wrote."""
        labels, waiting = orjson.loads(kept)
        return cls([Label(*label) for label in labels], [Waiting(*one) for one in waiting])

    def to_bytes(self) -> bytes:
        """As JSON."""
        return orjson.dumps((self.labels, self.waiting), default=list)

    def __bool__(self) -> bool:
        return bool(self.labels or self.waiting)

    def label_for(self, hour: int, horizon: int) -> Label | None:
        """The label that counts for a comparison of this hour; `horizon` is in hours."""
        for label in self.labels:
            if label.first - horizon <= hour <= label.last + horizon:
                return label
        return None

    def add_label(
        self, hour: int, value: Any, timestamp_ms: int, horizon: int, probability: float | None = None
    ) -> bool:
        """Take a label. A later one of the same id only makes the first count for longer; says if anything changed."""
        for index, label in enumerate(self.labels):
            if label.first - 2 * horizon - 1 <= hour <= label.last + 2 * horizon + 1:
                wider = label._replace(first=min(label.first, hour), last=max(label.last, hour))
                self.labels[index] = wider
                return wider != label
        self.labels.append(Label(hour, hour, value, timestamp_ms, probability))
        return True

    def take_labelled(self, horizon: int) -> list[tuple[Waiting, Label]]:
        """The comparisons that need wait no longer, each with its label."""
        found = [(one, self.label_for(one.hour, horizon)) for one in self.waiting]
        self.waiting = [one for one, label in found if label is None]
        return [(one, label) for one, label in found if label is not None]

    def drop(self, key: bytes, mark: Mark, horizon: int) -> list[Waiting]:
        """Forget what is over at `mark`; returns the comparisons among it."""
        over = [one for one in self.waiting if (one.hour, key) <= mark]
        if over:
            self.waiting = [one for one in self.waiting if (one.hour, key) > mark]
        if any((label.last + horizon, key) <= mark for label in self.labels):
            self.labels = [label for label in self.labels if (label.last + horizon, key) > mark]
        return over
