"""What a worker leaves alone for now, it takes again: also when its partitions come back after a rebalance."""

import time
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from shadowbus.kafka.clients import make_consumer
from shadowbus.kafka.worker.input import InputReader
from shadowbus.stage import Input
from traffic import Stream

pytestmark = pytest.mark.kafka

PAIRS = 200


def read(reader: InputReader, wanted: int, seconds: float = 30) -> set[Input]:
    """The inputs that records came from, reading until so many have come or the time is over."""
    found: set[Input] = set()
    count, deadline = 0, time.monotonic() + seconds
    while count < wanted and time.monotonic() < deadline:
        reader.take(reader.consumer.consume(1_000, 0.2))
        for piece in reader.ahead.popleft() if reader.ahead else ():
            found.add(piece.input)
            count += len(piece.offsets)
    return found


def test_an_input_that_was_paused_is_read_when_it_comes_back(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path)
    stream.send_pairs([f"id-{number}" for number in range(PAIRS)])
    names = {name: stream.topic(name) for name in ("requests", "predictions")}
    consumer = make_consumer(stream.settings, **{"group.id": namespace, "enable.partition.eof": True})
    reader = InputReader(consumer, stream.settings, names)
    starts = {(name, partition): 0 for name in names for partition in range(4)}
    offsets = [TopicPartition(names[name], partition, 0) for name, partition in starts]
    try:
        reader.begin(starts, starts)
        consumer.assign(offsets)
        assert read(reader, 2 * PAIRS) == set(starts)
        reader.pause(frozenset({("predictions", 0), ("predictions", 1)}))
        reader.begin({}, {})  # as when the group meets again
        consumer.unassign()
        reader.begin(starts, starts)
        consumer.assign(offsets)
        assert read(reader, 2 * PAIRS) == set(starts)
    finally:
        consumer.close()
