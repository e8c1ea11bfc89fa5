"""Messages from librdkafka into columns: the one conversion on the hot path."""

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, Message

from shadowbus.stage import Input, Slice


def slices_of(
    messages: Iterable[Message], topics: Mapping[str, str]
) -> tuple[list[Slice], dict[Input, int], list[KafkaError]]:
    """Sort messages by partition.

    Args:
        messages: What `Consumer.consume` returned.
        topics: The topology's topic names by their full names.

    Returns:
        The records as slices; the partitions that were read to their end, with the offset of that end; other errors.
    """
    found: dict[tuple[str | None, int | None], Slice] = {}
    ends: dict[Input, int] = {}
    errors: list[KafkaError] = []
    for message in messages:
        error = message.error()
        topic, partition = message.topic(), message.partition()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
                ends[topics[topic], partition] = message.offset() or 0
            else:
                errors.append(error)
            continue
        key = (topic, partition)
        piece = found.get(key)
        if piece is None:
            piece = found[key] = Slice(topics[topic], partition)  # type: ignore[index,arg-type]
        piece.keys.append(message.key())
        piece.values.append(message.value())
        piece.timestamps.append(message.timestamp()[1])
        piece.offsets.append(message.offset())  # type: ignore[arg-type]
    return list(found.values()), ends, errors
