"""A worker that was thought dead goes on: whatever it still has to say, nobody hears it."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from patiently import members, until
from shadowbus.kafka.worker.job import Job
from shadowbus.stage import Outputs, RecordBatch, Stage
from shadowbus.topology import COMPARISONS, REQUESTS
from shadowbus.worker import run_worker
from traffic import Reader, Stream, end, request

pytestmark = pytest.mark.kafka


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
        until(lambda: "restored" in stream.logs(), stream, 60)
        for key in halves:
            stream.send("requests", key, request(key))
        stream.producer.flush()
        until(
            lambda: changelog.read() >= 0 and sum(key[:2] == b"rh" for key in changelog.keys if key) == len(halves),
            stream,
            60,
        )
        os.kill(sleeper.pid, signal.SIGSTOP)
        other = stream.start("replay", "--shadow", "challenger")
        comparisons.until(len(halves))
        os.kill(sleeper.pid, signal.SIGCONT)
        until(lambda: members(stream) == ("STABLE", 2), stream, 60)
        ids = [f"later-{number:05d}" for number in range(500)]
        stream.send_pairs(ids)
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


class Copy(Stage):
    """A stage that copies requests, and stops in the middle of its first batch while it is told to."""

    def __init__(self, entered: threading.Event, leave: threading.Event, *, zombie: bool, positions: bool) -> None:
        self.entered, self.leave, self.zombie, self.positions = entered, leave, zombie, positions

    def restore(self, batch: RecordBatch) -> None:
        raise AssertionError("it keeps nothing")

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        outputs = Outputs()
        for piece in batches:
            for key in piece.keys:
                outputs.add("comparisons", piece.partition, b"zombie" if self.zombie else key, b"{}")
            if self.positions:
                outputs.positions[piece.input] = piece.next_offset
        self.entered.set()
        assert self.leave.wait(60)
        return outputs


@pytest.mark.parametrize("positions", [True, False], ids=["positions", "no-positions"])
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "not-ended"])
def test_a_worker_that_lost_its_partitions_in_the_middle_of_a_batch_commits_nothing(
    bootstrap: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool, positions: bool
) -> None:
    """Twice over: the next worker ends its transaction, and Kafka refuses its positions even where that did not happen.

    librdkafka has left the group by itself by then, and would name no member at all, which Kafka does not check.
    """
    if not ended:
        monkeypatch.setattr("shadowbus.kafka.worker.takeover.TakeOver._fence", lambda *_: None)
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
        thread = threading.Thread(target=run_worker, args=(job, stream.settings, stop))
        thread.start()
        return thread

    threads = [work(Copy(entered, leave, zombie=True, positions=positions))]
    try:
        assert entered.wait(60)
        threads.append(work(Copy(threading.Event(), always, zombie=False, positions=True)))
        comparisons.until(len(wanted))
        leave.set()
        until(lambda: members(stream, "copy") == ("STABLE", 2), stream, 60)
    finally:
        leave.set()
        stop.set()
        for thread in threads:
            thread.join(30)
    while comparisons.read(1.0):
        pass
    comparisons.close()
    assert comparisons.keys == Counter(key.encode() for key in wanted)
