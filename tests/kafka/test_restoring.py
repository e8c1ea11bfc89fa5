"""A restore takes as long as it takes: the worker stays in its group, says how far it is, and can be called off."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from patiently import eventually, members
from shadowbus.errors import Retry
from shadowbus.kafka.worker import restore
from shadowbus.kafka.worker.job import Job
from shadowbus.stage import Outputs, RecordBatch, Stage
from shadowbus.topology import COMPARISONS, REPLAY_CHANGELOG, REQUESTS
from shadowbus.worker import run_worker
from traffic import Reader, Stream, admin, request

pytestmark = pytest.mark.kafka

PARTITIONS = 4
POLL_S = 6.0
QUICK = f"""[kafka.consumer]
"max.poll.interval.ms" = {int(POLL_S * 1000)}
[worker]
session_timeout_ms = 6000
"""


class Slow(Stage):
    """Copies requests; for each record that it is given back it needs some time."""

    def __init__(self, held: frozenset[int], seconds: float) -> None:
        self.held, self.seconds = held, seconds
        self.restored: Counter[bytes | None] = Counter()
        self.closed, self.working = 0, threading.Event()

    def restore(self, batch: RecordBatch) -> None:
        assert not self.closed
        self.restored.update(batch.keys)
        time.sleep(self.seconds * len(batch.keys))

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        outputs = Outputs()
        for piece in batches:
            for key in piece.keys:
                outputs.add("comparisons", piece.partition, key, b"{}")
            outputs.positions[piece.input] = piece.next_offset
        self.working.set()
        return outputs

    def close(self) -> None:
        self.closed += 1


class Scene:
    """A stream whose changelog holds some state, and workers in threads of their own."""

    def __init__(self, bootstrap: str, namespace: str, folder: Path) -> None:
        self.stream = Stream(bootstrap, namespace, folder, extra=QUICK)
        self.kept = [f"kept-{number:02d}" for number in range(40)]
        self.ids = [f"request-{number:03d}" for number in range(100)]
        for number, key in enumerate(self.kept):
            self.stream.producer.produce(
                self.stream.topic("challenger.replay-changelog"), b"{}", key, number % PARTITIONS
            )
        for key in self.ids:
            self.stream.send("requests", key, request(key))
        self.stream.producer.flush()
        self.stages: list[Slow] = []
        self.threads: list[tuple[threading.Thread, threading.Event]] = []
        self.failures: list[BaseException] = []

    def start(self, seconds: float, make: Callable[[frozenset[int], float], Slow] = Slow) -> threading.Event:
        """Start a worker that needs so long for each record of its state; set what is returned to end it."""

        def open_stage(held: frozenset[int]) -> Slow:
            self.stages.append(make(held, seconds))
            return self.stages[-1]

        def work() -> None:
            try:
                run_worker(job, self.stream.settings, stop)
            except BaseException as error:
                self.failures.append(error)

        job = Job("copy", (REQUESTS,), (COMPARISONS,), open_stage, shadow="challenger", changelog=REPLAY_CHANGELOG)
        stop = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append((thread, stop))
        return stop

    def end(self) -> None:
        """End all workers, and see that none had failed."""
        for _, stop in self.threads:
            stop.set()
        for thread, _ in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.failures


@pytest.fixture
def scene(bootstrap: str, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(bootstrap, namespace, tmp_path)
    yield scene
    scene.end()


def everything(scene: Scene) -> Counter[bytes | None]:
    reader = Reader(scene.stream.bootstrap, scene.stream.topic("comparisons")).until(len(scene.ids))
    reader.close()
    return reader.keys


def test_a_restore_that_takes_longer_than_max_poll_interval_ends_and_says_how_far_it_is(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "SAY_SECONDS", 0.5)
    with caplog.at_level(logging.INFO, "shadowbus.worker"):
        scene.start(1.5 * POLL_S / len(scene.kept))
        assert everything(scene) == Counter(key.encode() for key in scene.ids)
    (stage,) = scene.stages
    assert stage.restored == Counter(key.encode() for key in scene.kept)
    said = [line for line in caplog.messages if "copy restores its state: offset" in line]
    assert said, caplog.messages
    assert f"of {len(scene.kept)}" in said[0]


def test_partitions_that_are_taken_away_during_a_restore_are_given_up_at_once_and_nothing_is_done_twice(
    scene: Scene,
) -> None:
    scene.start(0.4)
    eventually(lambda: bool(scene.stages and scene.stages[0].restored))
    began = time.monotonic()
    scene.start(0.0)
    eventually(lambda: members(scene.stream, "challenger.copy") == ("STABLE", 2))
    first = scene.stages[0]
    eventually(lambda: first.closed == 1)
    assert not first.working.is_set()
    assert time.monotonic() - began < 0.4 * len(scene.kept) * 2
    assert everything(scene) == Counter(key.encode() for key in scene.ids)
    held = [stage.held for stage in scene.stages if not stage.closed]
    assert sorted(partition for some in held for partition in some) == list(range(PARTITIONS))


def test_a_worker_that_is_told_to_stop_during_a_restore_stops(scene: Scene) -> None:
    stop = scene.start(0.2)
    eventually(lambda: bool(scene.stages and scene.stages[0].restored))
    began = time.monotonic()
    stop.set()
    scene.threads[0][0].join(60)
    assert time.monotonic() - began < 0.2 * len(scene.kept) + 10
    assert scene.stages[0].closed == 1
    assert scene.stages[0].restored.total() < len(scene.kept) or not scene.stages[0].working.is_set()


class Failing(Slow):
    """Commits, and fails right after."""

    def committed(self) -> None:
        if self.working.is_set():
            raise Retry("it has committed, and fails")


def test_restarts_leave_no_trail_of_transactional_ids_in_the_broker(scene: Scene) -> None:
    restarts = 20
    scene.start(0.0, Failing)
    for number in range(restarts):
        eventually(lambda known=number: len(scene.stages) > known)  # type: ignore[misc]
        key = f"one-more-{number:03d}"
        scene.ids.append(key)
        scene.stream.send("requests", key, request(key))
        scene.stream.producer.flush()
        eventually(lambda known=number: scene.stages[known].closed > 0)  # type: ignore[misc]
    assert everything(scene) == Counter(key.encode() for key in scene.ids)
    found = transactional_ids(scene.stream.bootstrap, scene.stream.topic("challenger.copy"))
    assert 1 <= len(found) <= 3, found


def transactional_ids(bootstrap: str, prefix: str) -> set[str]:
    """Those that the broker knows, as it keeps them itself."""
    topic = "__transaction_state"
    count = len(admin(bootstrap).list_topics(topic, timeout=30).topics[topic].partitions)
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": prefix, "enable.partition.eof": True, "log_level": 0}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
    found, ended, deadline = set[str](), 0, time.monotonic() + 60
    while ended < count:
        assert time.monotonic() < deadline
        for message in consumer.consume(50_000, 0.5):
            ended += message.error() is not None
            key = message.key()
            if message.error() is None and isinstance(key, bytes):
                found.add(key[4:].decode())  # a version and a length come first
    consumer.close()
    return {one for one in found if one.startswith(prefix)}
