"""State does not grow: days of windows, endless trials, segments, ids and restarts leave as much as a few of them did.

Each object is fed by one round, and what it holds after some rounds is compared with what it holds after three times as
many: by the number of entries of all dicts, sets, lists and deques that hang on it.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from downstream import Downstream
from fakes.instant_model import InstantModel
from judge_log import HOUR_MS, Log, label, left_in_store
from judge_log import comparison as comparison_to_judge
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.compare import Comparators, make_comparator
from shadowbus.dashboard.store import Store
from shadowbus.decide.claims import Real
from shadowbus.decide.reconciliation import close_books
from shadowbus.exporter.trial import TrialCollector
from shadowbus.exporter.trials import Trials
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import AggregateSettings, Settings, parse_settings
from shadowbus.stage import Input, RecordBatch

SETTINGS = Settings("test", 1, aggregate=AggregateSettings(window_seconds=300, keep_windows=12))
REPLAY = parse_settings(
    {
        "namespace": "n",
        "shadow": [{"name": "s", "model": "m", "task": "regression"}],
        "replay": {"join_window_ms": 1000, "remember_ids": 20},
    },
    Path("shadow.toml"),
    {},
)
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
    "shadowbus.aggregate.state.MOST_TRIALS": 10,
    "shadowbus.aggregate.vitals.MOST_LATEST": 10,
    "shadowbus.aggregate.vocabulary.MOST_SEGMENTS": 10,
    "shadowbus.aggregate.vocabulary.MOST_FEATURES": 10,
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
        self.stage, self.downstream = AggregateStage(frozenset({0}), SETTINGS), Downstream(SETTINGS)
        self.store, self.trials = Store(), Trials()
        self.topics: dict[str, dict[bytes, bytes]] = {"partials": {}, "aggregates": {}}

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            trial, segment = self.way(self.round)
            now_ms = START_MS + self.round * WINDOW_MS
            records = {"comparisons": comparison(self.round, trial, segment), "vitals": vitals(self.round, trial)}
            for name, record in records.items():
                self.stage.process([RecordBatch(name, 0, [b"k"], [record], [now_ms], [self.round])], now_ms)
            for _, key, value in self.stage.checkpoint(now_ms).records.get("partials", []):
                assert key is not None
                self.downstream.take(key, value)
                self._keep("partials", key, value)
            for topic, key, published in self.downstream.publish():
                self.trials.take(topic, key, published)
                self.store.take([RecordBatch(topic, 0, [key], [published], [now_ms], [self.round])])
                if topic == "aggregates":
                    self._keep(topic, key, published)
            self.round += 1
            if self.restarts and self.round % 30 == 0:
                self._restart()

    def _restart(self) -> None:
        self.stage = AggregateStage(frozenset({0}), SETTINGS)
        rows = self.topics["partials"]
        self.stage.restore(RecordBatch("partials", 0, [*rows], [*rows.values()], [0] * len(rows), [0] * len(rows)))
        self.stage.resume_at({("comparisons", 0): self.round, ("outcomes", 0): 0})
        self.downstream.restart()
        self.downstream.publish()

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
            **{name: held(getattr(self, name)) for name in ("stage", "store", "trials")},
            "decide": held(self.downstream.decide),
            "agents": held(self.downstream.agents),
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


def test_of_partials_that_wait_for_a_check_no_more_are_read_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowbus.decide.stage.MOST_WAITING_BYTES", 10_000)
    asked: list[Future[Mapping[Input, int]]] = []

    def ask() -> Future[Mapping[Input, int]]:
        asked.append(Future())
        return asked[-1]

    line = Line("days of windows", restarts=False)
    line.play(3)
    (row,) = [one for one in line.topics["partials"].items() if one[0].endswith(b"|all|all|0")]
    downstream = Downstream(SETTINGS, Real({}, 0), ask)
    while not (full := downstream.decide.paused()):
        downstream.take(*row)
        downstream.tick()
    assert full == {("partials", 0)}
    assert (len(asked), downstream.positions) == (1, {("partials", 0): 0}), "none of it is accounted for yet"
    asked[0].set_result({("comparisons", 0): 1_000})
    downstream.now_ms = START_MS + 100 * WINDOW_MS
    downstream.tick()
    assert downstream.decide.paused() == frozenset()
    assert downstream.positions == {("partials", 0): downstream.offsets[0]}
    assert downstream.letters == []


class Shadowed:
    """Replay behind one shadow: rounds of requests and predictions, its changelog as Kafka keeps it, and restarts."""

    WAYS: ClassVar[dict[str, Callable[[int], str]]] = {
        "days of ids": lambda _: "live@1",
        "endless live models": lambda round_: f"live@{round_}",
    }

    def __init__(self, way: str, *, restarts: bool) -> None:
        self.model, self.restarts, self.round, self.changelog = self.WAYS[way], restarts, 0, dict[bytes, bytes]()
        self.stage, self.books = self._started(), dict[str, Any]()

    def _started(self) -> ReplayStage:
        model: Any = InstantModel()
        alike = make_comparator("regression", {})
        settings, shadow = REPLAY, REPLAY.shadow[0]
        return ReplayStage(frozenset({0}), settings=settings, shadow=shadow, model=model, comparator=alike, worker="w")

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            now_ms, said = START_MS + self.round * WINDOW_MS, {"timestamp_ms": START_MS + self.round * WINDOW_MS}
            prediction = {**said, "model": self.model(self.round), "prediction": 2}
            request = {**said, "features": {"x": 1}, "segments": {"customer": f"c{self.round}"}}
            for topic, sent in (("requests", request), ("predictions", prediction)):
                key, offsets = b"r%d" % self.round, [self.round]
                value = orjson.dumps({"request_id": key.decode(), **sent})
                self.stage.process([RecordBatch(topic, 0, [key], [value], [now_ms], offsets)], now_ms)
            self.stage.drain(now_ms)
            self.stage.tick(now_ms, {("requests", 0): 0, ("predictions", 0): 0})
            for _, kept, value_ in self.stage.checkpoint(now_ms).records.get("replay-changelog", []):
                assert kept is not None
                self.changelog.pop(kept, None)
                if value_ is not None:
                    self.changelog[kept] = value_
            self.round += 1
            self.books = orjson.loads(self.changelog[b"books"])
            if self.restarts and self.round % 30 == 0:
                self.stage, count = self._started(), len(self.changelog)
                kept_ = RecordBatch("replay-changelog", 0, [*self.changelog], [*self.changelog.values()], [0] * count)
                kept_.offsets.extend(range(count))
                self.stage.restore(kept_)
                self.stage.resume_at({("requests", 0): self.round, ("predictions", 0): self.round})

    def sizes(self) -> dict[str, int]:
        return {"stage": held(self.stage.partitions), "the changelog": sum(map(len, self.changelog.values()))}


@pytest.mark.parametrize("way", Shadowed.WAYS)
@pytest.mark.parametrize("restarts", [False, True])
def test_what_replay_holds_does_not_grow_with_time(way: str, restarts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in {"books.MOST_TRIALS": 10, "parse.MAX_LIVE_MODELS": 25}.items():
        monkeypatch.setattr(f"shadowbus.replay.{name}", most)
    line = Shadowed(way, restarts=restarts)
    line.play(ROUNDS)
    before = line.sizes()
    line.play(2 * ROUNDS)
    grown = {name: (before[name], size) for name, size in line.sizes().items() if size > 1.5 * before[name] + 20}
    assert grown == {}
    counted = close_books("live@1~s@1", {}, {0: {"books": line.books}})
    assert [counted[side]["gap"] for side in ("requests", "predictions")] == [0, 0]
    assert sum(counted["requests"]["compared"].values()) + counted["requests"]["waiting"] == 3 * ROUNDS
    assert len(line.books["comparisons"]) <= 11


JUDGED: dict[str, Callable[[int], dict[str, Any]]] = {
    "days of ids": lambda _: {},
    "endless trials": lambda round_: {"trial": f"live@{round_}~s@1"},
    "endless segments": lambda round_: {"segments": {"customer": f"c{round_}"}},
}


@pytest.mark.parametrize("way", JUDGED)
@pytest.mark.parametrize("restarts", [False, True])
def test_what_the_judge_holds_does_not_grow_with_time(
    way: str, restarts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowbus.judge.dictionary.MOST", 10)
    sizes = []
    for rounds in (ROUNDS, 3 * ROUNDS):
        log = Log(tmp_path / str(rounds))
        for number in range(rounds):
            log.now_ms += 2 * HOUR_MS
            log.send([comparison_to_judge(number, **JUDGED[way](number))])
            log.send([label(number, 1)] if number % 3 else [])
            log.step("comparisons", 1)
            log.step("labels", 1)
            log.tick()
            if restarts and number % 30 == 29:
                log.restart()
        assert log.books()["comparisons"]["read"] == rounds
        in_memory = held(log.stage)
        sizes.append({"memory": in_memory, "changelog": len(log.kept[-1]), "store": len(left_in_store(log))})
    few, many = sizes
    assert {name: (few[name], size) for name, size in many.items() if size > 1.5 * few[name] + 20} == {}
