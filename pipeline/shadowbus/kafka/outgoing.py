"""Hands the records a stage returned to a producer, and waits where its queue is full. Part of step 4."""

from collections.abc import Mapping

from confluent_kafka import Producer

from shadowbus.clock import Deadline
from shadowbus.errors import Retry
from shadowbus.stage import Outputs


def hand_over(producer: Producer, names: Mapping[str, str], outputs: Outputs, seconds: float) -> None:
    """Queue every record of `outputs`.

    Args:
        producer: It is in a transaction.
        names: Full topic names by their names in the topology.
        outputs: What a stage returned.
        seconds: How long a full queue may stay full.

    Raises:
        Retry: Kafka takes no records.
    """
    produce = producer.produce
    for topic, rows in outputs.records.items():
        name = names[topic]
        for partition, key, value in rows:
            try:
                produce(name, value, key, partition)
            except BufferError:
                _when_there_is_room(producer, name, partition, key, value, 0, seconds)
    for topic, stamped in outputs.stamped.items():
        name = names[topic]
        for partition, key, value, at_ms in stamped:
            try:
                produce(name, value, key, partition, timestamp=at_ms)
            except BufferError:
                _when_there_is_room(producer, name, partition, key, value, at_ms, seconds)


def _when_there_is_room(
    producer: Producer, name: str, partition: int, key: bytes | None, value: bytes | None, at_ms: int, seconds: float
) -> None:
    deadline = Deadline.after(seconds)
    while True:
        producer.poll(0.01)
        try:
            producer.produce(name, value, key, partition, timestamp=at_ms)
        except BufferError:
            if deadline.passed:
                raise Retry("Kafka takes no records: the send queue stays full.") from None
        else:
            return
