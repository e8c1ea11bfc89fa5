"""A worker fails at every named point of the loop; what is in Kafka then, and after it goes on, is known to the record.

What has to be there is computed from what was sent and from the committed positions alone: a request has its comparison
if, and only if, both its halves lie before the committed positions; a half waits if only it does.
"""

import doctest
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

import failing_worker
from patiently import until
from shadowbus.kafka.worker.failpoints import POINTS
from topic_log import log_of
from traffic import Stream, end, prediction, request

pytestmark = pytest.mark.kafka

PARTITIONS = range(4)
QUICK = """
[worker]
commit_ms = 500
vitals_seconds = 3600.0
session_timeout_ms = 2000
transaction_timeout_ms = 4000
"""
LATE = 5

FAULTS = {
    "signing": "before-commit:1",  # the first commit of an assignment carries a signature and nothing else
    "before-produce": "before-produce:1",
    "before-offsets": "before-offsets:3",
    "before-commit": "before-commit:3",
    "after-commit": "after-commit:3",
    "during-restore": "during-restore:1",
    "during-revoke": "during-revoke:1",
}
AT_ONCE = {"signing", "before-produce"}
"""Where nothing is committed before; at the others, some comparisons are, and some halves wait."""

RAISED = ("before-commit", "during-restore", "during-revoke")
"""Errors come out of the loop, and out of what librdkafka calls when partitions come and go."""

LEAVES_ABORTED = {"before-offsets", "before-commit", "during-revoke"}
"""Where records have reached Kafka by then which no committed reader may ever see."""


class Scene:
    """One stream with steady traffic, and what that has to lead to."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.ids: list[str] = []

    def send(self, count: int = 20) -> None:
        """Some more pairs; the last predictions come with the next ones, so that halves wait."""
        fresh = [f"request-{len(self.ids) + number:06d}" for number in range(count)]
        for request_id in fresh:
            self.stream.send("requests", request_id, request(request_id))
        for request_id in self.ids[-LATE:] + fresh[: count - LATE]:
            self.stream.send("predictions", request_id, prediction(request_id))
        self.ids += fresh
        self.stream.producer.flush()

    def complete(self) -> None:
        """The predictions that are still missing."""
        for request_id in self.ids[-LATE:]:
            self.stream.send("predictions", request_id, prediction(request_id))
        self.stream.producer.flush()

    def keys(self, topic: str, *, committed: bool = True) -> Counter[bytes]:
        """How often each key is in a topic."""
        return Counter(
            record.key for record in log_of(self.stream.bootstrap, self.stream.topic(topic), committed=committed)
        )

    def waiting(self) -> set[bytes]:
        """The halves that wait, as the changelog keeps them."""
        log = log_of(self.stream.bootstrap, self.stream.topic("challenger.replay-changelog"))
        newest = {record.key: record.value for record in log}
        return {key for key, value in newest.items() if value is not None and key[:1] in (b"r", b"p")}

    def positions(self) -> dict[tuple[str, int], int]:
        """What the group has committed; 0 where it has not."""
        group = {"group.id": self.stream.topic("challenger.replay"), "isolation.level": "read_uncommitted"}
        consumer = Consumer({"bootstrap.servers": self.stream.bootstrap, "log_level": 0, **group})
        topics = {self.stream.topic(topic): topic for topic in ("requests", "predictions")}
        found = consumer.committed([TopicPartition(name, p) for name in topics for p in PARTITIONS], timeout=30)
        consumer.close()
        return {(topics[tp.topic], tp.partition): max(0, tp.offset) for tp in found}

    def expected(self) -> tuple[Counter[bytes], set[bytes]]:
        """The comparisons that have to be there, and the halves that have to wait, by the committed positions."""
        positions = self.positions()
        requests, predictions = (
            {
                record.key
                for record in log_of(self.stream.bootstrap, self.stream.topic(topic))
                if record.offset < positions[topic, record.partition]
            }
            for topic in ("requests", "predictions")
        )
        alone = {b"r" + key for key in requests - predictions} | {b"p" + key for key in predictions - requests}
        return Counter(requests & predictions), alone


@pytest.fixture
def scene(bootstrap: str, namespace: str, tmp_path: Path) -> Scene:
    return Scene(Stream(bootstrap, namespace, tmp_path, extra=QUICK))


@pytest.mark.parametrize(
    ("name", "how"), [*((name, "crash") for name in FAULTS), *((name, "error") for name in RAISED)]
)
def test_whatever_point_a_worker_fails_at_each_request_has_one_comparison(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    stream, mark = scene.stream, tmp_path / "mark"
    monkeypatch.setenv("SHADOWBUS_FAULT", f"{FAULTS[name]}:{how}")
    monkeypatch.setenv("SHADOWBUS_FAULT_MARK", str(mark))
    replay = ("replay", "--shadow", "challenger")
    scene.send(100)
    if name not in AT_ONCE:
        mark.touch()
    workers = [stream.start(*replay)]
    try:
        if name not in AT_ONCE:
            until(lambda: scene.keys("comparisons").total() == 100 - LATE, stream)
            if name == "during-restore":
                assert end(workers.pop()) == 0
            mark.unlink()
        if name in ("during-restore", "during-revoke"):
            workers.append(stream.start(*replay))
        until(lambda: send_until(scene, mark.exists), stream)
        if how == "crash":
            until(lambda: any(worker.poll() is not None for worker in workers), stream)
            (dead,) = [worker for worker in workers if worker.poll() is not None]
            assert dead.returncode == -signal.SIGKILL
            if len(workers) == 1:
                assert_the_log_is_as_committed(scene, name)
            workers[workers.index(dead)] = stream.start(*replay)
        scene.complete()
        wanted = Counter(key.encode() for key in scene.ids)
        until(lambda: scene.keys("comparisons") == wanted, stream)
        until(lambda: scene.expected() == (wanted, set()) and not scene.waiting(), stream)
    finally:
        codes = [end(worker) for worker in workers]
    assert codes == [0] * len(workers), stream.logs()
    assert scene.keys("comparisons") == wanted
    everything = scene.keys("comparisons", committed=False)
    assert everything >= wanted
    assert (everything > wanted) == (name in LEAVES_ABORTED), everything - wanted
    said = stream.logs().count(f"the fault point {FAULTS[name].partition(':')[0]} was reached")
    assert said == (how == "error")


def send_until(scene: Scene, condition: Callable[[], bool]) -> bool:
    """Keep up the traffic, at its pace; whether the condition holds."""
    time.sleep(0.03)
    if not condition():
        scene.send()
    return condition()


def assert_the_log_is_as_committed(scene: Scene, name: str) -> None:
    """At rest after the crash: what readers of committed records see, and what all readers see."""
    comparisons, halves = scene.expected()
    assert scene.keys("comparisons") == comparisons
    assert scene.waiting() == halves
    everything = scene.keys("comparisons", committed=False)
    assert everything >= comparisons
    assert (everything > comparisons) == (name in LEAVES_ABORTED)
    assert bool(comparisons) == (name not in AT_ONCE)


def test_the_docstrings_examples_are_true() -> None:
    result = doctest.testmod(failing_worker, optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


def test_every_point_of_the_loop_is_failed_at() -> None:
    assert {fault.partition(":")[0] for fault in FAULTS.values()} == set(POINTS)
