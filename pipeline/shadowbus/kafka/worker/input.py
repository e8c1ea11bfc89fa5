"""The reading side of the loop: batches of new records, the position and lag of each input, and what is paused."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from shadowbus.clock import monotonic
from shadowbus.kafka.error_classes import PASSING
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.topic_ids import TopicWatch
from shadowbus.kafka.worker.idle import Idle
from shadowbus.kafka.worker.positions import Positions
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch

Rebalance = Callable[[Consumer, list[TopicPartition]], None]

_LEFT_ALONE = PASSING | {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
"""Errors that pass by themselves, and those that `TopicWatch` explains better: a topic was deleted or recreated."""


class RebalanceCallbacks:
    """Keeps the error of a callback until the call that it came in has ended: before that librdkafka would go on."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def kept(self, callback: Rebalance) -> Rebalance:
        """A callback that raises nothing. After a failure the consumer holds nothing, and no callback runs again."""

        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if self.failure is None:
                try:
                    callback(consumer, partitions)
                except BaseException as error:
                    self.failure = error
            if self.failure is not None:
                consumer.unassign()

        return call

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.failure is not None:
            raise self.failure


class InputReader:
    """Reads over one consumer.

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
        self.positions = Positions()
        self.paused: frozenset[Input] = frozenset()
        self.ahead: deque[list[RecordBatch]] = deque()

    def begin(self, starts: Mapping[Input, int], committed: Mapping[Input, int]) -> None:
        """Read from these offsets on, and nothing else; `committed` is before them where records were lost.

        Call it before the consumer gives up its partitions: librdkafka would keep paused partitions paused when they
        come back, and never return their records.
        """
        self.pause(frozenset())
        self.positions = Positions.at(starts, committed)
        self.ahead.clear()
        self.idle.forget()
        self.watch.forget()

    def take(self, messages: Sequence[Message]) -> None:
        """Append the new records among these messages to `ahead`, as batches by partition.

        Raises:
            KafkaException: The consumer reports an error that does not pass by itself.
        """
        batches, ends = batches_of(messages, self.short, _LEFT_ALONE)
        self.idle.at_end(ends, monotonic())
        self.more = len(messages) >= self.fetch_records
        if fresh := self.positions.take(batches, ends):
            self.ahead.append(fresh)

    def pause(self, wanted: frozenset[Input]) -> None:
        """Pause these inputs, and read the others."""
        if wanted == self.paused:
            return
        for key in wanted:
            self.positions.ends.pop(key, None)  # records that come now are not seen; Kafka reports the end again
        held = {key: TopicPartition(self.names[key[0]], key[1]) for key in self.positions.next}
        if changed := [held[key] for key in wanted - self.paused if key in held]:
            self.consumer.pause(changed)
        if changed := [held[key] for key in self.paused - wanted if key in held]:
            self.consumer.resume(changed)
        self.paused = wanted

    def lags(self) -> dict[Input, int]:
        """The number of unread records by input, as far as known; 0 only where Kafka confirms it."""
        lags: dict[Input, int] = {}
        idle = set() if self.more else self.idle.known(self.positions.ends, monotonic())
        for key, offset in self.positions.next.items():
            if key in idle:
                lags[key] = 0
                continue
            tp = TopicPartition(self.names[key[0]], key[1])
            _, high = self.consumer.get_watermark_offsets(tp, cached=True)
            if high >= 0:
                lags[key] = max(1, high - offset)
        return lags
