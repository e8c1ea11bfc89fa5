"""Who takes over from a worker that was killed, and how soon: measured at a plain reader of committed comparisons."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from shadowbus.clock import Deadline
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.exactly_once import run
from shadowbus.kafka.job import Job
from shadowbus.kafka.offsets import bounds
from shadowbus.stage import Input, Outputs, Slice
from shadowbus.topology import COMPARISONS, REQUESTS
from traffic import Reader, Stream, end, request

pytestmark = pytest.mark.kafka

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


def until(condition: Callable[[], bool], seconds: float, stream: Stream) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, stream.logs()[-3000:]


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
        until(lambda: bool(comparisons.read()) and len(comparisons.keys) == len(first), 120, stream)
        until(lambda: changelog.read() >= 0 and waiting(changelog) == WAITING, 120, stream)
        mark.unlink()
        second: list[str] = []
        until(lambda: pairs_on(stream, second) and worker.poll() is not None, 60, stream)
        assert worker.returncode == -signal.SIGKILL
        killed = time.monotonic()
        assert open_transactions(stream) > 0
        worker = stream.start("replay", "--shadow", "challenger", *identity)
        while comparisons.read(0.3):
            pass  # what was committed before
        until(lambda: comparisons.read(0.05) > 0, 60, stream)
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
        until(lambda: pairs_on(stream, sent) and comparisons.read() >= 0 and condition(), 90, stream)

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
        until(lambda: comparisons.read() >= 0 and len(comparisons.keys) == len(sent), 60, stream)
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


def members(stream: Stream, stage: str = "challenger.replay") -> tuple[str, int]:
    """The state of a consumer group, and how many are in it."""
    client, group = make_admin(stream.settings), stream.topic(stage)
    found = client.describe_consumer_groups([group])[group].result()
    return found.state.name, len(found.members)


def test_a_worker_that_wakes_up_after_others_took_over_writes_nothing(
    bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    """Asleep for longer than its session, and then at once with something to write: halves whose time is over."""
    window = "[replay]\njoin_window_ms = 10000\n[worker]\nsession_timeout_ms = 2000\n"
    stream = Stream(bootstrap, namespace, tmp_path, extra=window)
    halves = [f"half-{number:05d}" for number in range(2_000)]
    changelog = Reader(bootstrap, stream.topic("challenger.replay-changelog"))
    comparisons = Reader(bootstrap, stream.topic("comparisons"))
    sleeper = stream.start("replay", "--shadow", "challenger")
    other = None
    try:
        until(lambda: "restored" in stream.logs(), 60, stream)
        for key in halves:
            stream.send("requests", key, request(key))
        stream.producer.flush()
        until(lambda: changelog.read() >= 0 and waiting(changelog) == len(halves), 60, stream)
        os.kill(sleeper.pid, signal.SIGSTOP)
        other = stream.start("replay", "--shadow", "challenger")
        comparisons.until(len(halves))
        os.kill(sleeper.pid, signal.SIGCONT)
        until(lambda: members(stream) == ("STABLE", 2), 60, stream)
        ids = pairs(stream, "later", 500)
        comparisons.until(len(halves) + len(ids))
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
        assert end(sleeper) == 0, stream.logs()
        if other is not None:
            assert end(other) == 0, stream.logs()
        changelog.close()
    while comparisons.read(1.0):
        pass
    comparisons.close()
    assert comparisons.keys == Counter(key.encode() for key in [*halves, *ids])
    statuses = Counter(value["status"] for value in comparisons.values)
    assert statuses == {"live_missing": len(halves), "compared": len(ids)}


class Copy:
    """A stage that copies requests, and stops in the middle of its first batch while it is told to."""

    def __init__(self, entered: threading.Event, leave: threading.Event, *, zombie: bool, positions: bool) -> None:
        self.entered, self.leave, self.zombie, self.positions = entered, leave, zombie, positions

    def restore(self, records: Slice) -> None:
        raise AssertionError("it keeps nothing")

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        return {}

    def lost(self, records: Mapping[Input, int]) -> None:
        pass

    def process(self, batch: list[Slice], now_ms: int) -> Outputs:
        outputs = Outputs()
        for piece in batch:
            for key in piece.keys:
                outputs.add("comparisons", piece.partition, b"zombie" if self.zombie else key, b"{}")
            if self.positions:
                outputs.positions[piece.input] = piece.next_offset
        self.entered.set()
        assert self.leave.wait(60)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        return Outputs()

    def drain(self, now_ms: int) -> Outputs:
        return Outputs()

    checkpoint = drain

    def committed(self) -> None:
        pass

    close = committed

    def paused(self) -> frozenset[Input]:
        return frozenset()


@pytest.mark.parametrize("positions", [True, False], ids=["positions", "no-positions"])
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "not-ended"])
def test_a_worker_that_lost_its_partitions_in_the_middle_of_a_batch_commits_nothing(
    bootstrap: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool, positions: bool
) -> None:
    """Twice over: the next worker ends its transaction, and Kafka refuses its positions even where that did not happen.

    librdkafka has left the group by itself by then, and would name no member at all, which Kafka does not check.
    """
    if not ended:
        monkeypatch.setattr("shadowbus.kafka.exactly_once._Membership._fence", lambda *_: None)
    quick = '[kafka.consumer]\n"max.poll.interval.ms" = 2000\n[worker]\nsession_timeout_ms = 2000\n'
    stream = Stream(bootstrap, namespace, tmp_path, extra=quick)
    wanted = [f"request-{number:03d}" for number in range(100)]
    for key in wanted:
        stream.send("requests", key, request(key))
    stream.producer.flush()
    comparisons = Reader(bootstrap, stream.topic("comparisons"))
    stop, entered, leave, always = threading.Event(), threading.Event(), threading.Event(), threading.Event()
    always.set()

    def work(stage: Copy) -> threading.Thread:
        job = Job("copy", (REQUESTS,), (COMPARISONS,), lambda _: stage)
        thread = threading.Thread(target=run, args=(job, stream.settings, stop))
        thread.start()
        return thread

    threads = [work(Copy(entered, leave, zombie=True, positions=positions))]
    try:
        assert entered.wait(60)
        threads.append(work(Copy(threading.Event(), always, zombie=False, positions=True)))
        comparisons.until(len(wanted))
        leave.set()
        until(lambda: members(stream, "copy") == ("STABLE", 2), 60, stream)
    finally:
        leave.set()
        stop.set()
        for thread in threads:
            thread.join(30)
    while comparisons.read(1.0):
        pass
    comparisons.close()
    assert comparisons.keys == Counter(key.encode() for key in wanted)
