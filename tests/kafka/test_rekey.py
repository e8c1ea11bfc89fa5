"""Re-keying on a real broker: topics that could never be joined are, and each record is moved exactly once."""

import dataclasses
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # an independent implementation
from confluent_kafka import Consumer, Producer
from confluent_kafka.cimpl import NewTopic

from shadowbus.cli.read.overview import look
from shadowbus.clock import Deadline, now_ms
from shadowbus.settings import RekeySettings
from shadowbus.topology import DAY_MS
from traffic import Reader, Stream, admin, end, prediction, request

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

USERS = 17
SOURCE_PARTITIONS = (3, 5)


@dataclass
class Foreign:
    """Topics as others keep them: librdkafka's own partitioner, requests by user in three partitions, predictions by
    session in five."""

    stream: Stream
    names: tuple[str, str]
    producer: Producer

    def send(self, ids: list[str], *, stamp: int = 0) -> None:
        requests, predictions = self.names
        for number, request_id in enumerate(ids):
            self._send(requests, f"user-{number % USERS}", request(request_id), stamp)
            self._send(predictions, f"session-{number // 3}", prediction(request_id), stamp)
        self.producer.flush()

    def _send(self, topic: str, key: str, value: object, stamp: int) -> None:
        while True:
            try:
                self.producer.produce(topic, json.dumps(value).encode(), key, timestamp=stamp)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return


@pytest.fixture
def foreign(bootstrap: str, namespace: str, tmp_path: Path) -> Foreign:
    names = (f"{namespace}-raw-requests", f"{namespace}-raw-predictions")
    client = admin(bootstrap)
    topics = [NewTopic(name, count) for name, count in zip(names, SOURCE_PARTITIONS, strict=True)]
    for future in client.create_topics(topics).values():
        future.result(20)
    extra = f'[rekey]\nrequests = "{names[0]}"\npredictions = "{names[1]}"\n'
    stream = Stream(bootstrap, namespace, tmp_path, extra=extra)
    return Foreign(stream, names, Producer({"bootstrap.servers": bootstrap}))


@pytest.fixture
def readers(foreign: Foreign) -> Iterator[dict[str, Reader]]:
    stream = foreign.stream
    opened = {name: Reader(stream.bootstrap, stream.topic(name)) for name in ("requests", "predictions", "comparisons")}
    yield opened
    for reader in opened.values():
        reader.close()


def test_topics_keyed_otherwise_are_joined_whole(foreign: Foreign, readers: dict[str, Reader]) -> None:
    wanted = [f"request-{number:06d}" for number in range(3_000)]
    foreign.send(wanted)
    stream = foreign.stream
    with stream.worker("rekey"), stream.worker("replay", "--shadow", "challenger"):
        comparisons = readers["comparisons"].until(len(wanted))
    assert comparisons.keys == Counter(key.encode() for key in wanted)
    assert {value["status"] for value in comparisons.values} == {"compared"}


def test_status_shows_the_stage_and_a_source_that_is_missing(foreign: Foreign) -> None:
    foreign.send(["one", "two"])
    seen = look(foreign.stream.settings, Deadline.after(60))
    (stage,) = [stage for stage in seen.stages if stage.stage == "rekey"]
    assert stage.lag == dict.fromkeys(foreign.names, 2)
    lost = RekeySettings(requests="no-such-topic", predictions=foreign.names[1])
    notes = look(dataclasses.replace(foreign.stream.settings, rekey=lost), Deadline.after(60)).notes
    assert "The topic no-such-topic, which [rekey] names, is missing." in notes


def test_times_are_kept_and_what_has_no_id_is_set_aside(foreign: Foreign) -> None:
    stream, stamp = foreign.stream, now_ms() - 2 * DAY_MS  # older than a topic keeps would be deleted at any moment
    foreign.send(["old"], stamp=stamp)
    foreign.producer.produce(foreign.names[0], b'{"v": 1}', "user-1")
    foreign.producer.flush()
    letters = Reader(stream.bootstrap, stream.topic("dead-letters"))
    settings = {"bootstrap.servers": stream.bootstrap, "group.id": "times", "auto.offset.reset": "earliest"}
    plain = Consumer({**settings, "enable.auto.commit": False})
    plain.subscribe([stream.topic("requests"), stream.topic("predictions")])
    with stream.worker("rekey"):
        letters.until(1)
        found = plain.consume(2, 60)
    plain.close()
    letters.close()
    assert [(message.key(), message.timestamp()[1]) for message in found] == [(b"old", stamp)] * 2
    assert {message.partition() for message in found} == {(murmur2(b"old") & 0x7FFFFFFF) % 4}
    (letter,) = letters.values
    assert (letter["topic"], letter["reason"]) == (foreign.names[0], "the field 'request_id' is missing")


def test_a_killed_worker_moves_every_record_once(foreign: Foreign, readers: dict[str, Reader]) -> None:
    wanted = [f"request-{number:06d}" for number in range(60_000)]
    foreign.send(wanted)
    stream, moved = foreign.stream, readers["requests"]
    kills = 0
    worker = stream.start("rekey", "--worker-id", "one")
    try:
        for seen in (1, 15_000, 30_000):
            while len(moved.keys) < seen:
                moved.read(0.05)
                assert worker.poll() is None, stream.logs()[-3000:]
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            kills += len(moved.keys) < len(wanted)
            worker = stream.start("rekey", "--worker-id", "one")
        moved.until(len(wanted), 120)
        readers["predictions"].until(len(wanted), 120)
    finally:
        assert end(worker) == 0, stream.logs()[-3000:]
    assert kills, "no kill came in the middle"
    for name in ("requests", "predictions"):
        assert readers[name].keys == Counter(key.encode() for key in wanted), name
    aborted = Reader(stream.bootstrap, stream.topic("requests"), "read_uncommitted")
    aborted.until(len(wanted))
    aborted.close()
    assert set(aborted.keys) == set(moved.keys)
