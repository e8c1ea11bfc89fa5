"""Halves that wait, over two logs that are read as Kafka would give them: bounded memory, no deadlock, nothing lost."""

import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from fakes.instant_model import InstantModel
from shadowbus.compare import make_comparator
from shadowbus.records import parse_object
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import parse_settings
from shadowbus.stage import Input, Outputs, RecordBatch

FETCH = 50
BOUND = 100
HOUR_MS = 3_600_000
NOW_MS = 1_000 * HOUR_MS
SIDES = ("requests", "predictions")
Log = list[tuple[int, int, int]]
"""Number of the id, the record's time, and when it reaches Kafka."""


def record(side: str, number: int) -> dict[str, object]:
    own: dict[str, object] = {"features": {"x": number}} if side == "requests" else {"model": "live@1", "prediction": 0}
    return {"v": 1, "request_id": f"r{number}", "timestamp_ms": number, **own}


@dataclass
class Run:
    """One partition, read until all is said; `most` is the highest number of records of a side that it held."""

    requests: Log
    predictions: Log
    window_ms: int
    seed: int = 0
    now_ms: int = NOW_MS
    most: Counter[str] = field(default_factory=Counter)
    statuses: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shadow = {"name": "s", "model": "m", "task": "regression"}
        replay = {"join_window_ms": self.window_ms, "max_pending": BOUND}
        settings = parse_settings({"namespace": "n", "shadow": [shadow], "replay": replay}, Path("shadow.toml"), {})
        self.stage = ReplayStage(
            frozenset({0}),
            settings=settings,
            shadow=settings.shadow[0],
            model=cast(ModelProcess, InstantModel()),
            comparator=make_comparator("regression", {}),
            worker="w",
        )
        self.logs = {"requests": self.requests, "predictions": self.predictions}
        self.read = dict.fromkeys(SIDES, 0)
        self.chance = random.Random(self.seed)

    def to_the_end(self, steps: int = 5_000) -> "Run":
        for _ in range(steps):
            paused = self.stage.paused()
            pieces = [self._fetch(side) for side in SIDES if (side, 0) not in paused and self.chance.random() < 0.8]
            batch = [piece for piece in pieces if piece.offsets]
            if batch:
                self._keep(self.stage.process(batch, self.now_ms))
            else:
                self.now_ms += 5_000
            self._keep(self.stage.tick(self.now_ms, self._lags()))
            pending = self.stage.partitions[0].pending()
            self.most = Counter({side: max(self.most[side], pending[side]) for side in SIDES})
            unread = any(self.read[side] < len(log) for side, log in self.logs.items())
            if not unread and not any(pending.values()):
                self._keep(self.stage.drain(self.now_ms))
                return self
        raise AssertionError(f"it stands still: {paused} are paused, {self.read} are read, {pending} pend")

    def _fetch(self, side: str) -> RecordBatch:
        start, log = self.read[side], self.logs[side]
        stop = min(start + FETCH, self._there(side))
        numbers = [number for number, _, _ in log[start:stop]]
        keys: list[bytes | None] = [b"r%d" % number for number in numbers]
        values: list[bytes | None] = [json.dumps(record(side, number)).encode() for number in numbers]
        self.read[side] = stop
        return RecordBatch(
            side,
            0,
            keys,
            values,
            [at_ms for _, at_ms, _ in log[start:stop]],
            [*range(start, stop)],
        )

    def _there(self, side: str) -> int:
        return bisect_right(self.logs[side], self.now_ms, key=lambda row: row[2])

    def _lags(self) -> dict[Input, int]:
        return {(side, 0): self._there(side) - self.read[side] for side in SIDES}

    def _keep(self, outputs: Outputs) -> None:
        for _, _, value in outputs.records.get("comparisons", []):
            found = parse_object(value)
            number = int(str(found["request_id"])[1:])
            assert number not in self.statuses, "an id was compared twice"
            self.statuses[number] = str(found["status"])


def log(numbers: Iterable[int], *, begins_ms: int, step_ms: int = 10, arrives_ms: int = 0) -> Log:
    return [(number, begins_ms + step_ms * index, arrives_ms) for index, number in enumerate(numbers)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("late", SIDES)
def test_an_input_that_comes_an_hour_later_is_waited_for_in_bounded_memory(late: str, seed: int) -> None:
    first = log(range(2_000), begins_ms=NOW_MS - HOUR_MS)
    second = log(range(2_000), begins_ms=NOW_MS - HOUR_MS, arrives_ms=NOW_MS + HOUR_MS)
    sides = {late: second, ("requests", "predictions")[late == "requests"]: first}
    run = Run(sides["requests"], sides["predictions"], window_ms=3 * HOUR_MS, seed=seed).to_the_end()
    assert run.statuses == dict.fromkeys(range(2_000), "compared")
    assert max(run.most.values()) <= BOUND + FETCH, run.most


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("side", SIDES)
def test_halves_whose_other_half_never_comes_do_not_block_the_pairs_behind_them(side: str, seed: int) -> None:
    pairs = range(1_000, 1_100)
    lone = log(range(1_000), begins_ms=NOW_MS) + log(pairs, begins_ms=NOW_MS + 10_000)
    other = log(pairs, begins_ms=NOW_MS + 10_000)
    requests, predictions = (lone, other) if side == "requests" else (other, lone)
    run = Run(requests, predictions, window_ms=60_000, seed=seed).to_the_end()
    alone = "live_missing" if side == "requests" else "request_missing"
    assert run.statuses == {**dict.fromkeys(range(1_000), alone), **dict.fromkeys(pairs, "compared")}
    assert max(run.most.values()) <= BOUND + FETCH, run.most


@pytest.mark.parametrize("seed", range(10))
def test_lone_halves_on_both_sides_do_not_block_each_other(seed: int) -> None:
    requests = log([n for n in range(3_000) if n % 3 != 1], begins_ms=NOW_MS - HOUR_MS, step_ms=100)
    predictions = log([n for n in range(3_000) if n % 3 != 2], begins_ms=NOW_MS - HOUR_MS, step_ms=100)
    run = Run(requests, predictions, window_ms=10_000, seed=seed).to_the_end()
    expected = ("compared", "request_missing", "live_missing")
    assert run.statuses == {n: expected[n % 3] for n in range(3_000)}


@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_order_of_two_inputs_every_pair_is_compared(seed: int) -> None:
    chance = random.Random(seed)
    numbers = [*range(1_500)]
    orders = [sorted(numbers, key=lambda number: number + chance.uniform(0, 400)) for _ in SIDES]
    requests, predictions = (log(order, begins_ms=NOW_MS - chance.randrange(HOUR_MS)) for order in orders)
    run = Run(requests, predictions, window_ms=2 * HOUR_MS, seed=seed).to_the_end()
    assert run.statuses == dict.fromkeys(numbers, "compared")


def test_an_input_that_is_only_behind_expires_nothing_on_the_other_side() -> None:
    """The predictions are read late, an hour after they came; by their own time they are in time."""
    requests = log(range(80), begins_ms=NOW_MS - HOUR_MS)
    predictions = log(range(80), begins_ms=NOW_MS - HOUR_MS)
    run = Run(requests, predictions, window_ms=1_000)
    run._keep(run.stage.process([run._fetch("requests")], NOW_MS))
    for _ in range(20):
        run._keep(run.stage.tick(NOW_MS, run._lags()))
    assert run.to_the_end().statuses == dict.fromkeys(range(80), "compared")


def test_an_idle_input_lets_the_halves_of_the_other_go_by_the_clock() -> None:
    run = Run(log(range(5), begins_ms=NOW_MS), [], window_ms=60_000)
    run._keep(run.stage.process([run._fetch("requests")], NOW_MS))
    run._keep(run.stage.tick(NOW_MS + 60_000, run._lags()))
    assert run.statuses == {}
    run._keep(run.stage.tick(NOW_MS + 60_100, run._lags()))
    run._keep(run.stage.drain(NOW_MS + 60_100))
    assert run.statuses == dict.fromkeys(range(5), "live_missing")


def test_nothing_expires_before_it_is_known_whether_the_other_input_has_more() -> None:
    run = Run(log(range(5), begins_ms=NOW_MS - HOUR_MS), [], window_ms=1_000)
    run._keep(run.stage.process([run._fetch("requests")], NOW_MS))
    run._keep(run.stage.tick(NOW_MS, {("requests", 0): 0}))
    run._keep(run.stage.drain(NOW_MS))
    assert run.statuses == {}
