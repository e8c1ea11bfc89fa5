"""What one membership reads: where it stands in each input, how far behind, and what it leaves alone for now."""

from collections import deque
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shadowbus.clock import monotonic
from shadowbus.kafka.error_classes import PASSING
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.topic_ids import TopicWatch
from shadowbus.kafka.worker.idle import Idle
from shadowbus.kafka.worker.positions import Progress
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch

_LEFT_ALONE = PASSING | {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
"""What mends itself, and what `TopicWatch` says better: whether a topic is really gone, or was made anew."""


class Intake:
    """The reading side of the loop, over one consumer.

    Args:
        consumer: A member of the group.
        settings: How to reach Kafka, and how many records are read at once.
        names: Full topic names by their names in the topology.
    """

    def __init__(self, consumer: Consumer, settings: Settings, names: Mapping[str, str]) -> None:
        self.consumer, self.names = consumer, names
        self.fetch_records = settings.worker.fetch_records
        self.idle, self.more = Idle(settings, names), False
        self.watch = TopicWatch(self.idle.admin, names)
        self.short = {full: name for name, full in names.items()}
        self.progress = Progress()
        self.paused: frozenset[Input] = frozenset()
        self.ahead: deque[list[RecordBatch]] = deque()

    def begin(self, starts: Mapping[Input, int], committed: Mapping[Input, int]) -> None:
        """Stand at these offsets, and nowhere else; `committed` is before them where records were lost.

        Called before the consumer lets go of what it holds: librdkafka would keep what is paused paused when it comes
        back, and never hand out its records.
        """
        self.pause(frozenset())
        self.progress = Progress.at(starts, committed)
        self.ahead.clear()
        self.idle.forget()
        self.watch.forget()

    def take(self, messages: Sequence[Message]) -> None:
        """Lay what is new in what the consumer handed out ready in `ahead`, by partition.

        Raises:
            KafkaException: The consumer reports an error that does not mend itself.
        """
        slices, ends, errors = batches_of(messages, self.short)
        for error in errors:
            if error.code() not in _LEFT_ALONE:
                raise KafkaException(error)
        self.idle.at_end(ends, monotonic())
        self.more = len(messages) >= self.fetch_records
        if batch := self.progress.take(slices, ends):
            self.ahead.append(batch)

    def pause(self, wanted: frozenset[Input]) -> None:
        """Leave these inputs alone, and take the others."""
        if wanted == self.paused:
            return
        for key in wanted:
            self.progress.ends.pop(key, None)  # what comes from now on is not seen; Kafka tells of the end once more
        held = {key: TopicPartition(self.names[key[0]], key[1]) for key in self.progress.next}
        if changed := [held[key] for key in wanted - self.paused if key in held]:
            self.consumer.pause(changed)
        if changed := [held[key] for key in self.paused - wanted if key in held]:
            self.consumer.resume(changed)
        self.paused = wanted

    def lags(self) -> dict[Input, int]:
        """How many records are not yet taken, by input, as far as known; 0 only where Kafka says so."""
        lags: dict[Input, int] = {}
        idle = set() if self.more else self.idle.known(self.progress.ends, monotonic())
        for key, offset in self.progress.next.items():
            if key in idle:
                lags[key] = 0
                continue
            tp = TopicPartition(self.names[key[0]], key[1])
            _, high = self.consumer.get_watermark_offsets(tp, cached=True)
            if high >= 0:
                lags[key] = max(1, high - offset)
        return lags
