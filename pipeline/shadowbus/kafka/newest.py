"""The newest records of topics, as a sample: bounded in number, bytes and time, and without any consumer group."""

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_consumer, plainly
from shadowbus.kafka.complaints import PASSING
from shadowbus.kafka.offsets import Bounds, Partition
from shadowbus.kafka.slices import slices_of
from shadowbus.settings import Settings
from shadowbus.stage import Slice

PER_TOPIC = 2_000
AT_LEAST = 20
MOST_BYTES = 64 * 1024 * 1024
BATCH = 500

_HARMLESS = {*PASSING, KafkaError.GROUP_AUTHORIZATION_FAILED}
"""The client looks for the coordinator of a group that it never joins."""


def newest_records(
    settings: Settings, limits: Mapping[Partition, Bounds], deadline: Deadline
) -> dict[str, list[Slice]]:
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
    found: dict[str, list[Slice]] = {topic: [] for topic, _ in limits}
    left = {one: limit.committed_end for one, limit in limits.items() if limit.first < limit.committed_end}
    counts = {topic: sum(1 for name, _ in limits if name == topic) for topic in found}
    if not left:
        return found
    consumer = make_consumer(
        settings,
        **{
            "group.id": f"{settings.namespace}.doctor",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 1_048_576,
            "queued.max.messages.kbytes": 16_384,
        },
    )
    try:
        starts = [TopicPartition(topic, number, _start(limits[topic, number], counts[topic])) for topic, number in left]
        consumer.assign(starts)
        taken = 0
        while left and taken < MOST_BYTES and not deadline.passed:
            slices, ends, errors = slices_of(consumer.consume(BATCH, 0.2), {name: name for name in found})
            for error in errors:
                if error.code() not in _HARMLESS:
                    raise KafkaException(error)
            for piece in slices:
                found[piece.topic].append(piece)
                taken += sum(len(value or b"") for value in piece.values)
                ends[piece.input] = max(ends.get(piece.input, 0), piece.next_offset)
            left = {one: end for one, end in left.items() if ends.get(one, 0) < end}
    except KafkaException as error:
        raise BrokerError(f"Records could not be read: {plainly(error)}.") from error
    finally:
        consumer.close()
    return found


def _start(limit: Bounds, partitions: int) -> int:
    return max(limit.first, limit.committed_end - max(AT_LEAST, PER_TOPIC // partitions))
