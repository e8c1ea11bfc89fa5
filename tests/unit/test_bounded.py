"""State does not grow: days of windows, endless trials, segments, ids and restarts leave as much as a few of them did.

Each object is fed by one round, and what it holds after some rounds is compared with what it holds after three times as
many: by the number of entries of all dicts, sets, lists and deques that hang on it.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shadowbus.aggregate.board import Board
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.compare import Comparators
from shadowbus.dashboard.store import Store
from shadowbus.exporter.trial import TrialCollector
from shadowbus.exporter.trials import Trials
from shadowbus.settings import AggregateSettings, Settings
from shadowbus.stage import Slice

SETTINGS = Settings("test", 1, aggregate=AggregateSettings(window_seconds=300, keep_windows=12))
WINDOW_MS = 300_000
START_MS = 1_760_000_000_000


def held(thing: Any, seen: set[int] | None = None) -> int:
    """How many entries there are in all containers that hang on an object."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | Settings):
        return 0
    seen.add(id(thing))
    if isinstance(thing, dict):
        return len(thing) + sum(held(one, seen) for one in thing.values())
    if isinstance(thing, set | frozenset | list | tuple | deque):
        return len(thing) + sum(held(one, seen) for one in thing)
    if not type(thing).__module__.startswith("shadowbus"):
        return 0
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    parts = [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in slots)]
    return sum(held(one, seen) for one in parts)


def comparison(round_: int, trial: str, segment: str) -> bytes:
    side = {"model": "m@1", "prediction": str(round_ % 50), "scores": None, "latency_ms": 2.0, "error": None}
    record = {"request_id": f"r{round_}", "timestamp_ms": START_MS + round_ * WINDOW_MS, "trial": trial}
    both = {"live": side, "shadow": side, "agree": True, "distance": 0.0, "segments": {"customer": segment, "day": "x"}}
    return orjson.dumps({**record, "status": "compared", **both, "missing_features": [f"f{round_}"]})


def vitals(round_: int, trial: str) -> bytes:
    books = {"comparisons": {trial: {"compared": round_ + 1}}}
    names = {"stage": "replay", "shadow": trial.partition("~")[2].partition("@")[0], "worker": f"w{round_}"}
    return orjson.dumps({**names, "partition": 0, "timestamp_ms": START_MS + round_ * WINDOW_MS, "books": books})


WAYS: dict[str, Callable[[int], tuple[str, str]]] = {
    "days of windows": lambda _: ("live@1~new@1", "all"),
    "endless segments": lambda round_: ("live@1~new@1", f"c{round_}"),
    "endless trials": lambda round_: (f"live@{round_}~new@1", "all"),
    "endless shadows": lambda round_: (f"live@1~new{round_}@1", "all"),
}
ROUNDS = 60
MOST = {
    "shadowbus.aggregate.running.MOST_TRIALS": 10,
    "shadowbus.aggregate.vitals.MOST_LATEST": 10,
    "shadowbus.aggregate.segments.MOST": 10,
    "shadowbus.aggregate.known.MOST_FEATURES": 10,
    "shadowbus.exporter.trials.MOST_KNOWN": 10,
    "shadowbus.exporter.trials.MOST_FRESH": 50,
    "shadowbus.dashboard.store.MOST_TRIALS": 10,
    "shadowbus.story.history.MOST": 20,
}
"""Bounds as they are, but smaller, so that they are reached sooner."""


class Line:
    """The aggregate, the board, the page and what Prometheus is shown, one behind the other."""

    def __init__(self, way: str, *, restarts: bool) -> None:
        self.way, self.restarts, self.round = WAYS[way], restarts, 0
        self.stage, self.table = AggregateStage(frozenset({0}), SETTINGS), dict[bytes, bytes]()
        self.board, self.store, self.trials = Board(self.table, SETTINGS), Store(), Trials()
        self.topics: dict[str, dict[bytes, bytes]] = {"partials": {}, "aggregates": {}}

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            trial, segment = self.way(self.round)
            now_ms = START_MS + self.round * WINDOW_MS
            records = {"comparisons": comparison(self.round, trial, segment), "vitals": vitals(self.round, trial)}
            for name, record in records.items():
                self.stage.process([Slice(name, 0, [b"k"], [record], [now_ms], [self.round])], now_ms)
            for _, key, value in self.stage.checkpoint(now_ms).records.get("partials", []):
                assert key is not None
                self.board.accept(key, value)
                self._keep("partials", key, value)
            for topic, key, published in self.board.publish(lambda _: True):
                self.trials.take(topic, key, published)
                self.store.take([Slice(topic, 0, [key], [published], [now_ms], [self.round])])
                if topic == "aggregates":
                    self._keep(topic, key, published)
            self.round += 1
            if self.restarts and self.round % 30 == 0:
                self._restart()

    def _restart(self) -> None:
        self.stage = AggregateStage(frozenset({0}), SETTINGS)
        rows = self.topics["partials"]
        self.stage.restore(Slice("partials", 0, [*rows], [*rows.values()], [0] * len(rows), [0] * len(rows)))
        self.stage.resume_at({("comparisons", 0): self.round, ("outcomes", 0): 0})
        self.board.reload()

    def _keep(self, topic: str, key: bytes, value: bytes | None) -> None:
        """As Kafka keeps it: the newest of each key."""
        self.topics[topic].pop(key, None)
        if value is not None:
            self.topics[topic][key] = value

    def sizes(self) -> dict[str, int]:
        registry = CollectorRegistry()
        registry.register(TrialCollector(self.trials))
        shown = len(generate_latest(registry).splitlines())
        return {
            **{name: held(getattr(self, name)) for name in ("stage", "board", "store", "trials")},
            "the partials topic": len(self.topics["partials"]),
            "the aggregates topic": len(self.topics["aggregates"]),
            "what Prometheus reads": shown,
        }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_held_does_not_grow_with_time(way: str, restarts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in MOST.items():
        monkeypatch.setattr(name, most)
    line = Line(way, restarts=restarts)
    line.play(ROUNDS)
    before = line.sizes()
    line.play(2 * ROUNDS)
    after = line.sizes()
    grown = {name: (before[name], size) for name, size in after.items() if size > 1.5 * before[name] + 20}
    assert grown == {}


def test_a_shadow_that_is_not_in_the_settings_leaves_nothing_behind() -> None:
    known = Comparators({})
    for number in range(1_000):
        known[f"foreign {number}"].compare(["a"], [None], ["a"], [None])
    assert len(known) == 0


def test_partials_that_wait_to_be_proved_are_few() -> None:
    from shadowbus.aggregate.partials import Real

    board, rng = Board({}, SETTINGS), random.Random(1)
    board.real = Real({}, 0)
    line = Line("days of windows", restarts=False)
    line.play(3)
    rows = list(line.topics["partials"].items())
    for _ in range(500):
        board.accept(*rng.choice(rows))
    assert held(board) < 60 * len(rows)
