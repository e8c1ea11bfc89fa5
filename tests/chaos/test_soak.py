"""Weeks in a minute: windows, live models, segments, ids and restarts without end leave every process as it was.

One worker of each stage lives through it. The first laps are the warm-up, in which everything that has a bound reaches
it. Then comes a lap of traffic alone, and one in which a second worker of each stage comes and goes all the time. After
each of them, when all of it is counted, each process is weighed, and what is in the compacted topics is counted.
"""

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson
import psutil
import pytest

from chaos.crew import children_of
from shadowbus.broker.cluster import EmbeddedKafka
from topic_log import log_of
from traffic import Stream, end, prediction, request

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(900)]

SEED = int(os.environ.get("SHADOWBUS_CHAOS_SEED", "1"))
FULL = "SHADOWBUS_CHAOS_SEED" in os.environ

HOURS = 120
"""Of a lap: each has its own window, two customers that nobody has seen before, and new ids; every other one has a new
live model. Two laps have more models than the 100 that are kept of a partition, and more customers than the 200 that
are kept of a trial."""

WARM_UP = (False, True, True)
"""Which laps come first, with restarts or without. The aggregate holds its old totals and the restored ones for a
moment when partitions move, and the allocator keeps what that took: 120, 135, 168, 176 and 168 MiB after five laps."""

PACE_S = 0.12
"""From one hour to the next."""

REQUESTS = 120
"""In an hour; every other one is answered by the model that was always there."""

SETTINGS = """[worker]
session_timeout_ms = 6000
[replay]
remember_ids = 1000
[judge]
horizon_days = 1.0
[aggregate]
window_seconds = 3600
keep_windows = 12
"""
STAGES = {
    "replay": ("replay", "--shadow", "challenger"),
    "judge": ("judge",),
    "aggregate": ("aggregate",),
    "decide": ("decide",),
    "agents": ("agents",),
}
COMING_AND_GOING = ("replay", "judge", "aggregate", "decide")
COMPACTED = ("partials", "aggregates")
STEADY = "champion@1~challenger@2"


class Weight(NamedTuple):
    """What one process has: resident memory in MiB, threads, open files."""

    memory: float
    threads: int
    files: int

    def since(self, before: "Weight") -> "Weight":
        """By how much it is more."""
        return Weight(self.memory - before.memory, self.threads - before.threads, self.files - before.files)

    def __str__(self) -> str:
        return f"{self.memory:.0f} MiB, {self.threads} threads, {self.files} files"


MORE = Weight(24.0, 4, 24)
"""By how much a process may be heavier after a lap than before it. A lap is five days of windows: 100 KiB
for each customer, 200 for each window, 400 for each live model, 1.7 for each request would be beyond it. Below lies
what comes and goes by itself: the buffers of librdkafka, the memtables of RocksDB, the arenas of the allocator."""

MORE_KEYS = 1.1
"""By what factor the keys of a compacted topic may be more after both laps. From one to the next they come and go by an
eighth (1,634, 1,830, 1,130): the windows of a young trial are small, and the last hours are not dropped yet."""


@dataclass
class Soak:
    """The traffic, the workers that stay, and those that come and go."""

    stream: Stream
    steady: "dict[str, subprocess.Popen[bytes]]"
    dice: random.Random
    hour: int = 0
    counted: int = 0
    guests: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    restarts: int = 0

    def lap(self, *, restarts: bool) -> None:
        """A lap of traffic, and then until it is counted."""
        turns, began = itertools.cycle(COMING_AND_GOING), time.monotonic()
        for number in range(HOURS):
            self._send()
            if restarts and number % 10 == 0:
                self._restart(next(turns))
            time.sleep(max(0.0, began + (number + 1) * PACE_S - time.monotonic()))
        self.leave()
        self._settle(180)

    def leave(self) -> None:
        """The guests go."""
        for guest in self.guests:
            end(guest)
        self.guests.clear()

    def weights(self) -> dict[str, Weight]:
        """What each process that stays has, the model's processes too."""
        found: dict[str, Weight] = {}
        for stage, process in self.steady.items():
            assert process.poll() is None, (stage, self.stream.logs()[-5000:])
            found[stage] = weigh(psutil.Process(process.pid))
            for name, child in zip(("fork server", "model"), children_of(process), strict=False):
                found[f"{stage}'s {name}"] = weigh(child)
        return found

    def keys(self) -> dict[str, int]:
        """How many keys the compacted topics hold, tombstones left out."""
        return {topic: len(self._newest(topic)) for topic in COMPACTED}

    def _newest(self, topic: str) -> dict[bytes, bytes]:
        newest = {one.key: one.value for one in log_of(self.stream.bootstrap, self.stream.topic(topic))}
        return {key: value for key, value in newest.items() if value is not None}

    def _send(self) -> None:
        self.hour += 1
        at_ms = BEGIN_MS + self.hour * 3_600_000
        for number in range(REQUESTS):
            request_id = f"hour-{self.hour:05d}-{number:04d}"
            segments = {"country": "DE", "customer": f"c{2 * self.hour + number % 4 // 2}"}
            live = "champion@1" if number % 2 else f"champion@build-{self.hour // 2}"
            self.stream.send("requests", request_id, request(request_id, timestamp_ms=at_ms, segments=segments))
            self.stream.send("predictions", request_id, prediction(request_id, timestamp_ms=at_ms, model=live))
            if number % 5 == 0:
                label = {"v": 1, "request_id": request_id, "timestamp_ms": at_ms, "label": True}
                self.stream.send("labels", request_id, label)
        self.counted += REQUESTS // 2
        self.stream.producer.poll(0)

    def _restart(self, stage: str) -> None:
        """End a guest, in order or not, and bring another."""
        if len(self.guests) == len(COMING_AND_GOING):
            guest = self.guests.pop(0)
            if self.dice.random() < 0.5:
                guest.kill()
                guest.wait()
            else:
                end(guest)
        self.guests.append(self.stream.start(*STAGES[stage], "--worker-id", f"guest-{stage}"))
        self.restarts += 1

    def _settle(self, seconds: float) -> None:
        """Wait until all is counted, and whatever has a partial has its aggregate, and nothing else does."""
        assert self.stream.producer.flush(60) == 0
        deadline = time.monotonic() + seconds
        while (wrong := self._unsettled()) != "":
            assert time.monotonic() < deadline, (wrong, self.stream.logs()[-5000:])
            time.sleep(1.0)

    def _unsettled(self) -> str:
        aggregates = self._newest("aggregates")
        partials = {key.rpartition(b"|")[0] for key in self._newest("partials") if b"|vitals|" not in key}
        if different := len(partials ^ aggregates.keys()):
            return f"{different} keys of partials and aggregates differ"
        steady = aggregates.get(f"{STEADY}|all|all".encode())
        counted = sum(orjson.loads(steady)["totals"]["statuses"].values()) if steady is not None else 0
        return "" if counted == self.counted else f"{counted} of {self.counted} are counted"


BEGIN_MS = int(time.time() * 1000) - 4 * HOURS * 3_600_000


def weigh(process: psutil.Process) -> Weight:
    with process.oneshot():
        return Weight(process.memory_info().rss / 2**20, process.num_threads(), process.num_fds())


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    (tmp_path / "stream").mkdir()
    with EmbeddedKafka(data_dir=tmp_path / "kafka") as kafka:
        stream = Stream(kafka.bootstrap, "soak", tmp_path / "stream", extra=SETTINGS, head="partitions = 2\n")
        steady = {name: stream.start(*arguments, "--worker-id", "steady") for name, arguments in STAGES.items()}
        soak = Soak(stream, steady, random.Random(SEED))
        try:
            yield soak
            assert {name: end(process) for name, process in steady.items()} == dict.fromkeys(STAGES, 0)
        finally:
            for process in [*steady.values(), *soak.guests]:
                process.kill()
                process.wait()


@pytest.mark.skipif(not FULL, reason="make chaos SEED=n runs it")
def test_weeks_of_windows_models_segments_ids_and_restarts_leave_every_process_as_it_was(soak: Soak) -> None:
    for restarts in WARM_UP:
        soak.lap(restarts=restarts)
    faults: list[str] = []
    keys = soak.keys()
    for restarts in (False, True):
        weights, done = soak.weights(), soak.restarts
        soak.lap(restarts=restarts)
        sys.stdout.write(f"\na lap of {HOURS * REQUESTS} requests in {HOURS} hours, {soak.restarts - done} restarts\n")
        for name, after in soak.weights().items():
            sys.stdout.write(f"  {name:18} {weights[name]}  ->  {after}\n")
            grown = after.since(weights[name])
            faults += [f"{name}: {grown} more"] if any(a > b for a, b in zip(grown, MORE, strict=True)) else []
    for topic, count in soak.keys().items():
        sys.stdout.write(f"  {topic:18} {keys[topic]} keys  ->  {count}\n")
        faults += [f"{topic}: {count - keys[topic]} more keys"] if count > MORE_KEYS * keys[topic] else []
    assert not faults, faults
