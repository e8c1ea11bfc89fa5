"""The replay stage over lists, clock in hand, against a few lines that say what should come out."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fakes.instant_model import InstantModel
from shadowbus.compare import make_comparator
from shadowbus.records import Comparison, decode
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings, ShadowSettings, parse_settings
from shadowbus.stage import Outputs, RecordBatch
from shadowbus.topology import DAY_MS

SETTINGS: Settings = parse_settings(
    {
        "namespace": "n",
        "shadow": [{"name": "s", "model": "m", "task": "regression"}],
        "replay": {"join_window_ms": 1000},
    },
    Path("shadow.toml"),
    {},
)
SHADOW = SETTINGS.shadow[0]
NOTHING_LEFT = {("requests", 0): 0, ("predictions", 0): 0}


def make_stage(model: InstantModel | None = None, shadow: ShadowSettings = SHADOW, timed: str = "") -> ReplayStage:
    return ReplayStage(
        frozenset({0}),
        settings=replace(SETTINGS, replay=replace(SETTINGS.replay, timed=timed)),
        shadow=shadow,
        model=cast(ModelProcess, model or InstantModel()),
        comparator=make_comparator("regression", {}),
        worker="w",
    )


def request(number: int, **changes: object) -> tuple[str, bytes, bytes]:
    record = {"v": 1, "request_id": f"r{number}", "timestamp_ms": number, "features": {"x": number}, **changes}
    return "requests", b"r%d" % number, json.dumps(record).encode()


def prediction(number: int, **changes: object) -> tuple[str, bytes, bytes]:
    record = {"v": 1, "request_id": f"r{number}", "timestamp_ms": number, "model": "live@1", "prediction": number * 2}
    return "predictions", b"r%d" % number, json.dumps({**record, **changes}).encode()


class Feed:
    """Gives records to a stage as slices with growing offsets, and collects what comes out."""

    def __init__(self, stage: ReplayStage) -> None:
        self.stage, self.offsets, self.now = stage, {"requests": 0, "predictions": 0}, 0
        self.outputs: list[Outputs] = []

    def give(self, records: Iterable[tuple[str, bytes | None, bytes | None]], at_ms: int = 0) -> None:
        pieces: dict[str, RecordBatch] = {}
        for topic, key, value in records:
            piece = pieces.setdefault(topic, RecordBatch(topic, 0))
            piece.keys.append(key)
            piece.values.append(value)
            piece.timestamps.append(at_ms)
            piece.offsets.append(self.offsets[topic])
            self.offsets[topic] += 1
        self.now = max(self.now, at_ms)
        self.outputs.append(self.stage.process(list(pieces.values()), self.now))
        self.tick(self.now)

    def tick(self, now_ms: int) -> None:
        self.outputs.append(self.stage.tick(now_ms, NOTHING_LEFT))

    def drain(self) -> None:
        self.outputs.append(self.stage.drain(self.now))

    def values(self, topic: str) -> list[dict[str, Any]]:
        rows = [row for outputs in self.outputs for row in outputs.records.get(topic, [])]
        return [json.loads(value) for _, _, value in rows if value is not None]

    def statuses(self) -> dict[str, str]:
        found = {value["request_id"]: value["status"] for value in self.values("comparisons")}
        assert len(found) == len(self.values("comparisons")), "an id was compared twice"
        return found


def test_a_pair_becomes_a_comparison_that_can_be_read_back() -> None:
    feed = Feed(make_stage())
    feed.give([request(3, segments={"country": "DE"}), prediction(3, latency_ms=1.5)])
    (row,) = feed.outputs[0].records["comparisons"] or feed.outputs[1].records["comparisons"]
    comparison = decode(Comparison, row[2])
    assert (comparison.trial, comparison.status, comparison.agree) == ("live@1~s@1", "compared", True)
    assert comparison.segments == {"country": "DE"}
    assert comparison.live is not None
    assert comparison.shadow is not None
    assert (comparison.live.latency_ms, comparison.shadow.prediction) == (1.5, 6)


@pytest.mark.parametrize(
    ("said", "setting", "kept"),
    [("exchange", "", "exchange"), ("exchange", "model", "exchange"), (None, "model", "model"), (None, "", None)],
)
def test_a_comparison_says_what_was_timed(said: str | None, setting: str, kept: str | None) -> None:
    stage = make_stage(timed=setting)
    stage.model.answering.sampler.share = 1.0  # type: ignore[attr-defined]
    feed = Feed(stage)
    for number in range(3):
        feed.give([request(number), prediction(number, latency_ms=1.5, **({"timed": said} if said else {}))])
    feed.give([])
    found = [decode(Comparison, value) for out in feed.outputs for _, _, value in out.records.get("comparisons", [])]
    assert [one.live.timed for one in found if one.live] == [kept] * 3
    shadows = [one.shadow for one in found if one.shadow]
    assert {(one.latency_ms is not None, one.timed) for one in shadows} == {(False, None), (True, "model")}


def test_positions_wait_for_the_model() -> None:
    model = InstantModel()
    model.hold = True
    feed = Feed(make_stage(model))
    feed.give([request(1), prediction(1)])
    assert all(not outputs.positions for outputs in feed.outputs)
    model.hold = False
    feed.drain()
    assert feed.outputs[-1].positions == {("requests", 0): 1, ("predictions", 0): 1}


def test_a_request_without_prediction_and_the_reverse_end_after_the_window() -> None:
    feed = Feed(make_stage())
    feed.give([request(1), prediction(2)], at_ms=1000)
    feed.tick(2000)
    assert feed.statuses() == {}
    feed.tick(2001)
    assert feed.statuses() == {"r1": "live_missing", "r2": "request_missing"}
    feed.give([prediction(1), request(2)], at_ms=2002)
    feed.tick(9000)
    assert feed.statuses() == {"r1": "live_missing", "r2": "request_missing"}
    assert [letter["reason"] for letter in feed.values("dead-letters")] == ["duplicate", "duplicate"]


def test_a_backlog_does_not_expire_what_the_other_input_still_brings() -> None:
    feed = Feed(make_stage())
    feed.outputs.append(feed.stage.tick(0, {("requests", 0): 0, ("predictions", 0): 5}))
    feed.stage.process([RecordBatch("requests", 0, [b"r1"], [request(1)[2]], [0], [0])], DAY_MS)
    feed.outputs.append(feed.stage.tick(DAY_MS, {("requests", 0): 0, ("predictions", 0): 5}))
    assert feed.statuses() == {}
    feed.offsets["requests"] = 1
    feed.give([prediction(1)], at_ms=0)
    assert feed.statuses() == {"r1": "compared"}


@pytest.mark.parametrize("seed", range(5))
def test_any_traffic_in_any_order_across_restarts_closes_the_books(seed: int) -> None:
    chance = random.Random(seed)
    records: list[tuple[str, bytes | None, bytes | None]] = []
    expected: dict[str, str] = {}
    bad = 0
    for number in range(200):
        kind = chance.choice(["both", "both", "both", "request", "prediction", "raises", "live-error", "garbage"])
        expected[f"r{number}"] = {
            "request": "live_missing",
            "prediction": "request_missing",
            "raises": "shadow_error",
            "live-error": "live_error",
            "garbage": "request_missing",
        }.get(kind, "compared")
        if kind != "prediction":
            features: dict[str, object] = {} if kind == "raises" else {"x": number}
            topic, key, value = request(number, features=features)
            records.append((topic, key, b"{" if kind == "garbage" else value))
            bad += kind == "garbage"
        if kind != "request":
            records.append(prediction(number, error="boom" if kind == "live-error" else None))
    duplicates = chance.sample(records, 20)
    chance.shuffle(records)
    records += duplicates

    feed, kept = Feed(make_stage()), dict[bytes, bytes | None]()
    for start in range(0, len(records), 23):
        feed.give(records[start : start + 23], at_ms=start)
        if chance.random() < 0.3:
            restart(feed, kept)
    feed.tick(DAY_MS)
    feed.drain()
    assert feed.statuses() == expected
    letters = Counter(letter["reason"] == "duplicate" for letter in feed.values("dead-letters"))
    assert letters == Counter({True: len(duplicates), False: bad})
    assert [value["number"] for value in feed.values("comparisons")] == list(range(1, len(expected) + 1))
    books = feed.values("vitals")[-1]["books"]
    compared = Counter(books["comparisons"]["live@1~s@1"])
    assert compared == Counter(expected.values())
    for side, absent in (("requests", "request_missing"), ("predictions", "live_missing")):
        mine, entry = compared.total() - compared[absent], books[side]
        assert entry["read"] == feed.offsets[side]
        assert entry["read"] == mine + entry["duplicates"] + entry["dead_lettered"] + entry["waiting"]


def restart(feed: Feed, kept: dict[bytes, bytes | None]) -> None:
    """Commit, lose the stage, and build another from what the changelog kept."""
    feed.drain()
    for _, key, value in feed.stage.checkpoint(0).records.get("replay-changelog", []):
        assert key is not None
        kept.pop(key, None)
        if value is not None:
            kept[key] = value
    feed.stage.close()
    feed.stage = make_stage()
    keys: list[bytes | None] = list(kept)
    feed.stage.restore(
        RecordBatch("replay-changelog", 0, keys, list(kept.values()), [0] * len(kept), list(range(len(kept))))
    )
    feed.outputs.append(feed.stage.tick(feed.now, NOTHING_LEFT))
