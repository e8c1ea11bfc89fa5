"""What capture did with every record it was offered, counted without a lock on the caller's side.

The unit is one record: a request and its prediction are two. Two equations always hold once the tap is quiet:

- offered = captured + sampled_out + what was dropped before the buffer
- captured = delivered + waiting + delivery_failed + unsent
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

BUFFER_FULL = "buffer_full"
TOO_LARGE = "too_large"
NOT_SERIALISABLE = "not_serialisable"
INVALID_ID = "invalid_id"
INVALID_FIELD = "invalid_field"
EXTRACTION_FAILED = "extraction_failed"
KAFKA_ERROR = "kafka_error"
CLOSED = "closed"
INTERNAL = "internal"
DELIVERY_FAILED = "delivery_failed"
UNSENT = "unsent"

REASONS: MappingProxyType[str, str] = MappingProxyType(
    {
        BUFFER_FULL: "the buffer was full: Kafka is slower than production, or away",
        TOO_LARGE: "the record was larger than max_record_bytes (or a body than max_body_bytes), or endless to read",
        NOT_SERIALISABLE: "the features, segments, context or label could not be written as JSON",
        INVALID_ID: "the request id cannot be a key: empty, over 512 bytes, or not text or a whole number",
        INVALID_FIELD: "the label's timestamp_ms is not in milliseconds, or its probability is not from 0.0001 to 1",
        EXTRACTION_FAILED: "features or prediction could not be found in the call or in the HTTP bodies",
        KAFKA_ERROR: "the Kafka client refused the record; last_error says why",
        CLOSED: "the tap was closed",
        INTERNAL: "capture itself failed: a bug, or an object that misbehaves",
        DELIVERY_FAILED: "buffered, but not taken by Kafka within message.timeout.ms",
        UNSENT: "still in the buffer when the tap was closed",
    }
)
"""Every reason a record may be dropped for, and what it means. The last two come after the buffer."""


class Tally:
    """A count that threads, green ones and signal handlers raise and read without a lock.

    `next` on an iterator is one indivisible step; its representation, `count(3)`, tells how many were made.
    """

    __slots__ = ("_steps", "add")

    def __init__(self) -> None:
        self._steps = itertools.count()
        self.add: Callable[[], int] = self._steps.__next__

    @property
    def value(self) -> int:
        """How often `add` was called."""
        return int(repr(self._steps)[len("count(") : -1])


@dataclass(frozen=True, slots=True)
class Counters:
    """One look at a tap's counters.

    Attributes:
        requests: Requests taken into the buffer.
        predictions: Predictions taken into the buffer.
        labels: Labels taken into the buffer.
        delivered: Of those three, what Kafka has confirmed.
        waiting: Of those three, what is still in the buffer or on its way.
        sampled_out: Records left out by `sample`.
        replaced: Predictions that could not be written as they were and went out with less: as an error, or with
            null scores.
        refused: HTTP requests the service itself turned down with a 4xx, or pointed elsewhere with a 3xx; they offer
            no record.
        seen: HTTP requests that came to a `ShadowTap`, whatever their path.
        matched: Of those, the ones to a route that is watched.
        broker_errors: How often the Kafka client complained.
        last_error: Its newest complaint, in its own words.
        dropped: Records lost, by reason; every reason of `REASONS` is a key.
    """

    requests: int
    predictions: int
    labels: int
    delivered: int
    waiting: int
    sampled_out: int
    replaced: int
    refused: int
    seen: int
    matched: int
    broker_errors: int
    last_error: str | None
    dropped: MappingProxyType[str, int]

    @property
    def captured(self) -> int:
        """Records taken into the buffer."""
        return self.requests + self.predictions + self.labels

    @property
    def lost(self) -> int:
        """Records dropped, for whatever reason."""
        return sum(self.dropped.values())


class Tallies:
    """The running counts of one tap in one process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start from zero, as a forked child does: what its parent counted is the parent's."""
        self.requests, self.predictions, self.labels = Tally(), Tally(), Tally()
        self.sampled_out, self.replaced, self.refused, self.broker_errors = Tally(), Tally(), Tally(), Tally()
        self.dropped = {reason: Tally() for reason in REASONS}
        self.last_error: str | None = None

    def snapshot(self, waiting: Callable[[], int], seen: int, matched: int) -> Counters:
        """Read everything. `delivered` is what is neither waiting nor lost; under way it errs to the low side."""
        requests, predictions, labels = self.requests.value, self.predictions.value, self.labels.value
        undecided = waiting()
        dropped = {reason: tally.value for reason, tally in self.dropped.items()}
        sound = max(0, requests + predictions + labels - dropped[DELIVERY_FAILED] - dropped[UNSENT])
        return Counters(
            requests=requests,
            predictions=predictions,
            labels=labels,
            delivered=max(0, sound - undecided),
            waiting=min(sound, undecided),
            sampled_out=self.sampled_out.value,
            replaced=self.replaced.value,
            refused=self.refused.value,
            seen=seen,
            matched=matched,
            broker_errors=self.broker_errors.value,
            last_error=self.last_error,
            dropped=MappingProxyType(dropped),
        )
