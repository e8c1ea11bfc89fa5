"""A whole topic as it stands now, from its first record to its last committed one, in nobody's group."""

from collections.abc import Generator

from confluent_kafka import KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, make_reader, plainly
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.read.offsets import bounds
from shadowbus.settings import Settings
from shadowbus.stage import RecordBatch
from shadowbus.topology import Topic

BATCH = 1_000
SILENCE_S = 30.0


def whole_topic(settings: Settings, topic: Topic, silence_s: float = SILENCE_S) -> Generator[RecordBatch, None, None]:
    """Every committed record that is there at the moment of the call; those of one partition in their order.

    Args:
        settings: How to reach Kafka.
        topic: The topic.
        silence_s: How long Kafka may bring nothing while something is left to read.

    Raises:
        BrokerError: The topic is missing, Kafka refuses to let it be read, or stopped answering before the end.
    """
    name = topic.full_name(settings.namespace)
    limits = bounds(make_admin(settings), [name], Deadline.after(silence_s))
    left = {one: limit.committed_end for one, limit in limits.items() if limit.first < limit.committed_end}
    if not left:
        return
    consumer = make_reader(settings)
    try:
        consumer.assign([TopicPartition(name, partition, limits[name, partition].first) for _, partition in left])
        deadline = Deadline.after(silence_s)
        while left:
            slices, reached, errors = batches_of(consumer.consume(BATCH, 0.2), {name: name})
            for error in errors:
                if error.code() not in HARMLESS_IN_NO_GROUP:
                    raise KafkaException(error)
            if slices:
                deadline = Deadline.after(silence_s)
            elif deadline.passed:
                raise BrokerError(f"The topic {name} could not be read to its end: nothing came for {silence_s:.0f} s.")
            for piece in slices:
                reached[piece.input] = max(reached.get(piece.input, 0), piece.next_offset)
                yield piece
            left = {one: end for one, end in left.items() if reached.get(one, 0) < end}
    except KafkaException as error:
        raise BrokerError(f"The topic {name} could not be read: {plainly(error)}.") from error
    finally:
        consumer.close()
