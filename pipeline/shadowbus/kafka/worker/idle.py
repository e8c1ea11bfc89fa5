"""Is an input idle, or do we only not hear of its records? Asks Kafka, and never waits for the answer.

librdkafka says once that a partition was read to its end, and then nothing until a record comes: also where none can
come, because the broker that leads the partition is away. What waits for a record must not be given up because of that.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition

from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.offsets import LATEST, offset_of
from shadowbus.settings import Settings
from shadowbus.stage import Input

ASK_S = 1.0
KNOWN_S = 4.0
"""For how long an answer holds."""


class Idle:
    """What is known of the inputs that were read to their end.

    Args:
        settings: How to reach Kafka.
        names: Full topic names by their names in the topology.
    """

    def __init__(self, settings: Settings, names: Mapping[str, str]) -> None:
        self.settings, self.admin, self.names = settings, make_admin(settings), names
        self.seen: dict[Input, float] = {}
        self.asked: tuple[float, dict[Input, Future[Any]]] | None = None
        self.ask_at = 0.0

    def at_end(self, inputs: Iterable[Input], now: float) -> None:
        """These were read to their end just now."""
        self.seen.update(dict.fromkeys(inputs, now))

    def forget(self) -> None:
        """None of it is known any more."""
        self.seen, self.asked = {}, None

    def known(self, ends: Mapping[Input, int], now: float) -> set[Input]:
        """Those of the inputs that have nothing to read, as far as Kafka has said so lately.

        Args:
            ends: The inputs that were read to their end and gave nothing since, and where that was.
            now: Monotonic seconds.
        """
        if self.asked is not None:
            self._hear(ends, *self.asked)
        elif ends and now >= self.ask_at:
            self._ask(ends, now)
        return {key for key in ends if now - self.seen.get(key, -KNOWN_S) < KNOWN_S}

    def _ask(self, ends: Mapping[Input, int], now: float) -> None:
        wanted = {TopicPartition(self.names[topic], p): LATEST for topic, p in ends}
        committed = IsolationLevel.READ_COMMITTED
        futures = self.admin.list_offsets(wanted, isolation_level=committed, request_timeout=KNOWN_S)
        by_name = {(tp.topic, tp.partition): future for tp, future in futures.items()}
        self.asked = (now, {key: by_name[self.names[key[0]], key[1]] for key in ends})
        self.ask_at = now + ASK_S

    def _hear(self, ends: Mapping[Input, int], asked_at: float, futures: Mapping[Input, Future[Any]]) -> None:
        if not all(future.done() for future in futures.values()):
            return
        self.asked, failed = None, False
        for key, future in futures.items():
            try:
                end = offset_of(future.result(), TopicPartition(self.names[key[0]], key[1]))
            except KafkaException:
                failed = True
                continue
            if key in ends and end <= ends[key]:
                self.seen[key] = asked_at
        if failed:  # librdkafka goes on asking with what a client knew of leaders before they changed
            self.admin = make_admin(self.settings)
