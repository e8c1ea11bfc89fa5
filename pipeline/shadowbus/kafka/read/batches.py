"""Messages from librdkafka into columns: the one conversion on the hot path."""

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, Message

from shadowbus.stage import Input, RecordBatch


def batches_of(
    messages: Iterable[Message], topics: Mapping[str, str]
) -> tuple[list[RecordBatch], dict[Input, int], list[KafkaError]]:
    """Sort messages by partition.

    Args:
        messages: What `Consumer.consume` returned.
        topics: The topology's topic names by their full names.

    Returns:
        The records as slices; the partitions that were read to their end, with the offset of that end; other errors.
    """
    found: dict[tuple[str | None, int | None], RecordBatch] = {}
    ends: dict[Input, int] = {}
    errors: list[KafkaError] = []
    source: tuple[str | None, int | None] = (None, None)
    piece = RecordBatch("", -1)
    for message in messages:
        error = message.error()
        if error is not None:
            topic, partition = message.topic(), message.partition()
            if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
                ends[topics[topic], partition] = message.offset() or 0
            else:
                errors.append(error)
            continue
        here = (message.topic(), message.partition())
        if here != source:  # records of one partition come in runs
            source = here
            piece = found.get(here) or found.setdefault(here, RecordBatch(topics[here[0]], here[1]))  # type: ignore[index,arg-type]
            keys, values = piece.keys.append, piece.values.append
            timestamps, offsets = piece.timestamps.append, piece.offsets.append
        keys(message.key())
        values(message.value())
        timestamps(message.timestamp()[1])
        offsets(message.offset())  # type: ignore[arg-type]
    return list(found.values()), ends, errors
