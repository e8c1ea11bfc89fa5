"""The topics a candidate writes, seen as a reader of committed records sees them."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shadowbus.clock import Deadline


class WrongOutputError(Exception):
    """What was written is not what should have been."""


@dataclass(frozen=True)
class Count:
    """What a topic holds.

    Attributes:
        unique: Records, all with different keys.
        compared: How many of them say that both answers were compared.
        agreeing: How many say that they agree.
        other: The first one that says something else.
    """

    unique: int
    compared: int
    agreeing: int
    other: bytes


class Outputs:
    """Topics that are being written.

    Args:
        bootstrap: The broker.
        topics: Full names; they exist.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self.bootstrap = bootstrap
        self.topics = len(topics)
        self._written = 0
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._partitions = [TopicPartition(topic, number) for topic in topics for number in self._numbers(topic)]

    def _numbers(self, topic: str) -> Sequence[int]:
        """Of its partitions; a topic that was just made is not known at once."""
        deadline = Deadline.after(30)
        while (found := self._admin.list_topics(timeout=30).topics.get(topic)) is None or not found.partitions:
            if deadline.passed:
                raise WrongOutputError(f"Kafka knows no topic {topic}")
            time.sleep(0.1)
        return list(found.partitions)

    def written(self) -> int:
        """Committed records of all topics, commit markers included (five or so in each partition and second).

        What was known last while Kafka does not say: a new topic has no leader for a moment.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(
            dict.fromkeys(self._partitions, latest),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=10,
        )
        with contextlib.suppress(KafkaException):
            self._written = sum(future.result().offset for future in asked.values())
        return self._written

    def count(self, topic: str, pairs: int, seconds: float = 120) -> Count:
        """Read a topic until it has shown `pairs` records.

        Raises:
            WrongOutputError: Fewer came in time, or one came twice.
        """
        consumer = committed_reader(self.bootstrap)
        consumer.subscribe([topic])
        keys: set[bytes | None] = set()
        records, compared, agreeing, other = 0, 0, 0, b""
        deadline = time.monotonic() + seconds
        while records < pairs and time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.2):
                if message.error() is None:
                    records += 1
                    keys.add(message.key())
                    value = message.value() or b""
                    if b'"status":"compared"' in value:
                        compared += 1
                    else:
                        other = other or value
                    agreeing += b'"agree":true' in value
        consumer.close()
        if records != len(keys) or records != pairs:
            raise WrongOutputError(f"{topic} holds {records} records with {len(keys)} different keys, not {pairs}")
        return Count(len(keys), compared, agreeing, other)


def committed_reader(bootstrap: str, **properties: object) -> Consumer:
    """A consumer in a group of its own, from the beginning, of what is committed."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{time.time_ns()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
            **properties,
        }
    )
