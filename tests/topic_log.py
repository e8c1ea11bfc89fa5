"""What is in a topic now, read from beginning to end by a plain consumer that knows nothing of shadowbus."""

import time
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition


class Record(NamedTuple):
    """One record; a null key is empty."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


def log_of(bootstrap: str, topic: str, *, committed: bool = True, seconds: float = 60) -> list[Record]:
    """Every record of a topic, in order within a partition.

    Args:
        bootstrap: The broker.
        topic: Full name.
        committed: Only records of committed transactions, up to the first one that is open; else all there are.
        seconds: How long it may take.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "log-of",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
    found: list[Record] = []
    deadline = time.monotonic() + seconds
    while left:
        assert time.monotonic() < deadline, f"{topic} could not be read to its end: {left} are left"
        for message in consumer.consume(10_000, 0.05):
            error, partition, offset = message.error(), message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if error is None:
                found.append(Record(partition, offset, message.key() or b"", message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(partition)
    consumer.close()
    return found
