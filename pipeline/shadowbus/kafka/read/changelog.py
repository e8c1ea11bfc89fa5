"""Reads kept state back: whole partitions of a changelog, or a stretch of a source topic, before any input is taken."""

from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import Retry
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_admin, make_reader
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP, again, as_next_action, next_action
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.read.offsets import LATEST, offset_of
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch

BATCH = 2_000
_READING = "reading kept state"


def end_offsets(
    settings: Settings, names: Mapping[str, str], inputs: list[Input], deadline: Deadline
) -> dict[Input, int]:
    """The end of each partition, open transactions included.

    A restore has to go this far: behind the open transaction of another worker there may be committed state of ours.

    Raises:
        BrokerError: Kafka refuses to say.
        Retry: Kafka did not answer in time.
    """
    wanted = {TopicPartition(names[topic], partition): LATEST for topic, partition in inputs}

    def ask(seconds: float) -> dict[tuple[str, int], int]:
        admin = make_admin(settings)  # anew: librdkafka goes on asking those who led before
        futures = admin.list_offsets(wanted, request_timeout=max(1.0, seconds))
        return {(tp.topic, tp.partition): offset_of(future.result(), tp) for tp, future in futures.items()}

    with as_next_action(_READING):
        found = again(ask, deadline)
    return {(topic, partition): found[names[topic], partition] for topic, partition in inputs}


def read_back(
    settings: Settings,
    names: Mapping[str, str],
    ranges: Mapping[Input, tuple[int, int]],
    give: Callable[[RecordBatch], None],
    silence_s: float,
    look: Callable[[], None] = lambda: None,
) -> int:
    """Give every committed record in `ranges` (from, to) to `give`, in order within a partition.

    Args:
        settings: How to reach Kafka.
        names: Full topic names by their names in the topology.
        ranges: What to read; `to` is exclusive and may lie behind an open transaction, which is then waited for.
        give: Called with each slice; may take as long as it takes.
        silence_s: How long Kafka may bring nothing while something is left to read.
        look: Called several times a second; what it raises ends the reading.

    Returns:
        How many records were given.

    Raises:
        BrokerError: Kafka refuses to let it be read.
        Retry: Kafka stopped answering, or an open transaction did not end in time.
    """
    left = {key: end for key, (start, end) in ranges.items() if start < end}
    if not left:
        return 0
    heard = ClientErrors()
    consumer = make_reader(settings, error_cb=heard.note)
    try:
        with as_next_action(_READING, heard.recent):
            consumer.assign([TopicPartition(names[topic], p, ranges[topic, p][0]) for topic, p in left])
            return _read(consumer, {names[topic]: topic for topic, _ in left}, left, give, silence_s, look)
    except TimeoutError as error:
        if (said := heard.recent()) is not None:
            raise next_action(_READING, KafkaException(said), heard.recent) from KafkaException(said)
        raise Retry(str(error)) from error
    finally:
        consumer.close()


def _read(
    consumer: Consumer,
    topics: Mapping[str, str],
    left: dict[Input, int],
    give: Callable[[RecordBatch], None],
    silence_s: float,
    look: Callable[[], None],
) -> int:
    count, deadline = 0, Deadline.after(silence_s)
    while left:
        look()
        slices, ends, errors = batches_of(consumer.consume(BATCH, 0.2), topics)
        for error in errors:
            if error.code() not in HARMLESS_IN_NO_GROUP:
                raise KafkaException(error)
        for piece in slices:
            if piece.input not in left:
                continue
            ends[piece.input] = max(ends.get(piece.input, 0), piece.next_offset)
            _cut(piece, left[piece.input])
            if piece.offsets:
                count += len(piece.offsets)
                give(piece)
                look()
        if slices or ends:
            deadline = Deadline.after(silence_s)  # of Kafka's: what the records are given to may take its time
        elif deadline.passed:
            raise TimeoutError(f"Kept state of {sorted(left)} could not be read to its end: nothing came in time.")
        left = {key: end for key, end in left.items() if ends.get(key, 0) < end}
    return count


def _cut(piece: RecordBatch, end: int) -> None:
    while piece.offsets and piece.offsets[-1] >= end:
        for column in (piece.keys, piece.values, piece.timestamps, piece.offsets):
            column.pop()
