"""Messages from librdkafka into columns: the one conversion on the hot path."""

from collections.abc import Collection, Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message

from shadowbus.stage import Input, RecordBatch


def batches_of(
    messages: Iterable[Message], topics: Mapping[str, str], harmless: Collection[int]
) -> tuple[list[RecordBatch], dict[Input, int]]:
    """Sort messages by partition.

    Args:
        messages: What `Consumer.consume` returned.
        topics: The names that the batches get, by full topic names.
        harmless: Codes of errors to ignore.

    Returns:
        The records; the end offset of each partition that was read to its end.

    Raises:
        KafkaException: A message is another error.
    """
    found: dict[tuple[str | None, int | None], RecordBatch] = {}
    ends: dict[Input, int] = {}
    source: tuple[str | None, int | None] = (None, None)
    batch = RecordBatch("", -1)
    for message in messages:
        error = message.error()
        if error is not None:
            topic, partition = message.topic(), message.partition()
            if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
                ends[topics[topic], partition] = message.offset() or 0
            elif error.code() not in harmless:
                raise KafkaException(error)
            continue
        here = (message.topic(), message.partition())
        if here != source:  # records of one partition come in runs
            source = here
            batch = found.get(here) or found.setdefault(here, RecordBatch(topics[here[0]], here[1]))  # type: ignore[index,arg-type]
            keys, values = batch.keys.append, batch.values.append
            timestamps, offsets = batch.timestamps.append, batch.offsets.append
        keys(message.key())
        values(message.value())
        timestamps(message.timestamp()[1])
        offsets(message.offset())  # type: ignore[arg-type]
    return list(found.values()), ends
