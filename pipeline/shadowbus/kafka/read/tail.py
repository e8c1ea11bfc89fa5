"""The newest records of topics, as a sample: bounded in number, bytes and time, and without any consumer group."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping

from confluent_kafka import KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, make_reader, plainly
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.read.offsets import Bounds, Partition, bounds
from shadowbus.settings import Settings
from shadowbus.stage import RecordBatch
from shadowbus.topology import Topic

PER_TOPIC = 2_000
AT_LEAST = 20
MOST_BYTES = 64 * 1024 * 1024
BATCH = 500


def newest_records(
    settings: Settings, limits: Mapping[Partition, Bounds], deadline: Deadline
) -> dict[str, list[RecordBatch]]:
    """Committed records from the end of each partition, as many as fit.

    Args:
        settings: How to reach Kafka.
        limits: Which partitions to read, by full topic names, and where they begin and end.
        deadline: By when to stop, with whatever was read.

    Returns:
        Slices by full topic name; their `topic` is that name too.

    Raises:
        BrokerError: Kafka refuses to let a topic be read.
    """
    found: dict[str, list[RecordBatch]] = {topic: [] for topic, _ in limits}
    taken = 0
    with contextlib.closing(_slices(settings, limits, PER_TOPIC, deadline)) as slices:
        for piece in slices:
            found[piece.topic].append(piece)
            taken += sum(len(value or b"") for value in piece.values)
            if taken >= MOST_BYTES:
                break
    return found


def newest_values(settings: Settings, topic: Topic, most: int, deadline: Deadline) -> Iterator[bytes]:
    """The newest committed values of a topic, about so many of them at most; those of one partition in their order.

    Args:
        settings: How to reach Kafka.
        topic: The topic.
        most: How many records to read, the same number from each partition.
        deadline: By when to stop, with whatever was read.

    Yields:
        Each value that is not null.

    Raises:
        BrokerError: The topic is missing, or Kafka does not answer, or refuses to let it be read.
    """
    limits = bounds(make_admin(settings), [topic.full_name(settings.namespace)], deadline)
    with contextlib.closing(_slices(settings, limits, most, deadline)) as slices:
        for piece in slices:
            yield from (value for value in piece.values if value is not None)


def _slices(
    settings: Settings, limits: Mapping[Partition, Bounds], most: int, deadline: Deadline
) -> Generator[RecordBatch, None, None]:
    """The ends of partitions as they are read, of each topic about so many records."""
    left = {one: limit.committed_end for one, limit in limits.items() if limit.first < limit.committed_end}
    counts = Counter(topic for topic, _ in limits)
    if not left:
        return
    consumer = make_reader(settings)
    try:
        consumer.assign(
            [
                TopicPartition(topic, number, _start(limits[topic, number], most // counts[topic]))
                for topic, number in left
            ]
        )
        while left and not deadline.passed:
            slices, ends, errors = batches_of(consumer.consume(BATCH, 0.2), {name: name for name in counts})
            for error in errors:
                if error.code() not in HARMLESS_IN_NO_GROUP:
                    raise KafkaException(error)
            for piece in slices:
                ends[piece.input] = max(ends.get(piece.input, 0), piece.next_offset)
            left = {one: end for one, end in left.items() if ends.get(one, 0) < end}
            yield from slices
    except KafkaException as error:
        raise BrokerError(f"Records could not be read: {plainly(error)}.") from error
    finally:
        consumer.close()


def _start(limit: Bounds, most: int) -> int:
    return max(limit.first, limit.committed_end - max(AT_LEAST, most))
