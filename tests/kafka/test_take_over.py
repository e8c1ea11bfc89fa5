"""Who takes over from a worker that was killed, and how soon: measured at a plain reader of committed comparisons."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patiently import members, until
from shadowbus.clock import Deadline
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.offsets import bounds
from traffic import Reader, Stream, end, request

pytestmark = [pytest.mark.kafka, pytest.mark.alone]

PROMISE_S = 10.0
BUSY_S = 8.0
"""What a busy machine may add. An open transaction would cost 20 s, a session of the usual length 45 s."""

WAITING = 100_000
PARTITIONS = 4
HOUR = """
[replay]
join_window_ms = 3600000
max_pending = 400000
[worker]
commit_ms = 1000  # so that records have reached Kafka when the commit begins
"""


def pairs(stream: Stream, prefix: str, count: int) -> list[str]:
    wanted = [f"{prefix}-{number:06d}" for number in range(count)]
    stream.send_pairs(wanted)
    return wanted


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """For the processes started inside."""
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


def say(line: str) -> None:
    """Shown by `pytest -s`."""
    sys.stdout.write(f"{line}\n")


@pytest.mark.parametrize("identity", [(), ("--worker-id", "one")], ids=["nameless", "named"])
def test_a_worker_restarted_after_kill_9_goes_on_within_10_s(
    bootstrap: str, namespace: str, tmp_path: Path, identity: tuple[str, ...]
) -> None:
    """Killed at the worst moment: positions are in the transaction, and it is neither committed nor aborted."""
    stream = Stream(bootstrap, namespace, tmp_path, extra=HOUR)
    halves = [f"half-{number:06d}" for number in range(WAITING)]
    for key in halves:
        stream.send("requests", key, request(key))
    first = pairs(stream, "first", 1_000)
    changelog = Reader(bootstrap, stream.topic("challenger.replay-changelog"))
    comparisons = Reader(bootstrap, stream.topic("comparisons"))
    mark = tmp_path / "mark"
    mark.touch()
    with environment(SHADOWBUS_FAULT="before-commit:2", SHADOWBUS_FAULT_MARK=str(mark)):
        worker = stream.start("replay", "--shadow", "challenger", *identity)
    try:
        until(lambda: bool(comparisons.read()) and len(comparisons.keys) == len(first), stream, 120)
        until(lambda: changelog.read() >= 0 and waiting(changelog) == WAITING, stream, 120)
        mark.unlink()
        second: list[str] = []
        until(lambda: pairs_on(stream, second) and worker.poll() is not None, stream, 60)
        assert worker.returncode == -signal.SIGKILL
        killed = time.monotonic()
        assert open_transactions(stream) > 0
        worker = stream.start("replay", "--shadow", "challenger", *identity)
        while comparisons.read(0.3):
            pass  # what was committed before
        until(lambda: comparisons.read(0.05) > 0, stream, 60)
        took = time.monotonic() - killed
        say(f"first new comparison {took:.1f} s after kill -9, {WAITING} halves waiting, {identity or 'nameless'}")
        comparisons.until(len(first) + len(second))
    finally:
        end(worker)
        changelog.close()
        comparisons.close()
    assert comparisons.keys == Counter(key.encode() for key in [*first, *second])
    assert took < PROMISE_S + BUSY_S, stream.logs()


def waiting(changelog: Reader) -> int:
    return sum(1 for key in changelog.keys if key is not None and key.startswith(b"rhalf-"))


def open_transactions(stream: Stream) -> int:
    """How many partitions of comparisons and the changelog a committed read cannot read to the end."""
    topics = [stream.topic("comparisons"), stream.topic("challenger.replay-changelog")]
    found = bounds(make_admin(stream.settings), topics, Deadline.after(30))
    return sum(limit.committed_end < limit.end for limit in found.values())


class Silence(Reader):
    """A reader that also knows how long each partition has brought nothing."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(bootstrap, topic)
        self.latest: dict[int, float] = {}
        self.longest = self.longest_of_all = 0.0

    def read(self, seconds: float = 0.05) -> int:
        messages = self.consumer.consume(10_000, seconds)
        now = time.monotonic()
        if messages and self.latest:
            self.longest_of_all = max(self.longest_of_all, now - max(self.latest.values()))
        for message in messages:
            error, partition = message.error(), message.partition()
            assert error is None, error
            assert partition is not None
            self.longest = max(self.longest, now - self.latest.get(partition, now))
            self.latest[partition] = now
            self.keys[message.key()] += 1
        return len(messages)

    def heard_since(self, moment: float) -> bool:
        """Whether every partition has brought something since then."""
        return len(self.latest) == PARTITIONS and min(self.latest.values()) > moment


def test_no_partition_is_silent_for_longer_than_10_s_when_one_of_three_is_killed(
    bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    stream = Stream(bootstrap, namespace, tmp_path)
    comparisons = Silence(bootstrap, stream.topic("comparisons"))
    workers = [stream.start("replay", "--shadow", "challenger") for _ in range(3)]
    sent: list[str] = []

    def flowing(condition: Callable[[], bool]) -> None:
        until(lambda: pairs_on(stream, sent) and comparisons.read() >= 0 and condition(), stream, 90)

    try:
        flowing(lambda: members(stream) == ("STABLE", 3))
        began = time.monotonic()
        flowing(lambda: comparisons.heard_since(began))
        comparisons.longest = comparisons.longest_of_all = 0.0
        os.kill(workers[0].pid, signal.SIGKILL)
        workers[0].wait()
        flowing(lambda: members(stream) == ("STABLE", 2))
        again = time.monotonic()
        flowing(lambda: comparisons.heard_since(again))
        say(f"longest silence of a partition {comparisons.longest:.1f} s, of all {comparisons.longest_of_all:.1f} s")
        stream.producer.flush()
        until(lambda: comparisons.read() >= 0 and len(comparisons.keys) == len(sent), stream, 60)
    finally:
        for worker in workers[1:]:
            end(worker)
        comparisons.close()
    assert comparisons.keys == Counter(key.encode() for key in sent)
    assert comparisons.longest < PROMISE_S + BUSY_S, stream.logs()


def pairs_on(stream: Stream, sent: list[str]) -> bool:
    """Send some more pairs; always true."""
    sent += pairs(stream, f"batch-{len(sent):06d}", 40)
    return True
