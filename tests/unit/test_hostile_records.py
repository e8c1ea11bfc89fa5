"""What replay lets in, judge and aggregate take: for any record, either a dead letter, or it is counted to the end."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from fakes.instant_model import InstantModel
from hostile import NOW_MS, record, values, variants
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.compare import make_comparator
from shadowbus.decide.reconciliation import books_of
from shadowbus.judge.stage import JudgeStage
from shadowbus.limits import MAX_LIVE_MODELS
from shadowbus.models.model import Predictions, Row
from shadowbus.records import Partial, decode
from shadowbus.replay.books import MOST_TRIALS
from shadowbus.replay.join import Join
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.partition import ReplayPartition
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import Outputs, RecordBatch
from shadowbus.topology import DAY_MS, MAX_OUTPUT_BYTES, MAX_RECORD_BYTES, TOPICS

Sent = tuple[bytes | None, bytes | None, int]
REQUEST = {
    "request_id": "",
    "timestamp_ms": str(NOW_MS),
    "features": '{"answer":"yes"}',
    "segments": '{"country":"DE"}',
    "context": "{}",
}
PREDICTION = {
    "request_id": "",
    "timestamp_ms": str(NOW_MS),
    "model": '"live@1"',
    "prediction": '"yes"',
    "scores": '{"yes":0.5,"no":0.5}',
    "latency_ms": "1.5",
    "error": "null",
}
LABEL = {"request_id": "", "timestamp_ms": str(NOW_MS), "label": '"yes"', "probability": "0.5"}
LIMITS = {topic.name: topic.max_output_bytes for topic in TOPICS}
TASKS = ("classification", "regression", "json", "vector", "ranking", "text")


class Echo:
    """Answers what a request wants it to, scores included, and lacks the features it is told to lack."""

    model = "echo@1"
    feature_names = None

    def predict(self, rows: Sequence[Row]) -> Predictions:
        wanted = [row if isinstance(row, dict) else {} for row in rows]
        return Predictions([row.get("answer", "yes") for row in wanted], [row.get("scores") for row in wanted])  # type: ignore[arg-type]

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        return None


class EchoModel(InstantModel):
    def __init__(self) -> None:
        super().__init__()
        self.answering = Predictor(cast(Any, Echo()), SingleRowSampler(0.0))


class Chain:
    """Replay, judge and aggregate over lists: what one writes, the next ones read."""

    def __init__(self, folder: Path, task: str, **changes: object) -> None:
        document = {
            "namespace": "n",
            "partitions": 1,
            "shadow": [{"name": "s", "model": "m", "task": task}],
            "segment": [{"name": "size", "feature": "x", "edges": [1, 2]}],
            "replay": {"features_share": 1.0},
            "judge": {"horizon_days": 365 * 100},
        }
        self.settings: Settings = parse_settings({**document, **changes}, Path("shadow.toml"), {})
        comparator = make_comparator(task, {})
        model = cast(ModelProcess, EchoModel())
        self.replay = ReplayStage(
            frozenset({0}),
            settings=self.settings,
            shadow=self.settings.shadow[0],
            model=model,
            comparator=comparator,
            worker="w",
        )
        self.judge = JudgeStage(
            frozenset({0}), settings=self.settings, comparators={"s": comparator}, folder=folder, worker="w"
        )
        self.judge.resume_at({})
        self.aggregate = AggregateStage(frozenset({0}), self.settings)
        self.offsets = Counter[str]()
        self.written: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
        self.refused: dict[str, list[dict[str, Any]]] = {"replay": [], "judge": [], "aggregate": []}

    def send(
        self, requests: Iterable[Sent] = (), predictions: Iterable[Sent] = (), labels: Iterable[Sent] = ()
    ) -> None:
        """Everything, to its end."""
        now_ms, idle = NOW_MS, {("requests", 0): 0, ("predictions", 0): 0}
        pieces = [self.piece("requests", [*requests]), self.piece("predictions", [*predictions])]
        self._take("replay", self.replay.process([piece for piece in pieces if piece.offsets], now_ms))
        self._take("replay", self.replay.drain(now_ms))
        self._take("replay", self.replay.checkpoint(now_ms))
        for _ in range(2):
            now_ms += DAY_MS
            self._take("replay", self.replay.tick(now_ms, idle))
            self._take("replay", self.replay.drain(now_ms))
            self._take("replay", self.replay.checkpoint(now_ms))
        piece = self.piece("labels", [*labels])
        if piece.offsets:
            self._take("judge", self.judge.process([piece], now_ms))
        self.judge.committed()
        self._take("judge", self.judge.tick(now_ms, {}))
        self._take("judge", self.judge.checkpoint(now_ms))
        self._take("aggregate", self.aggregate.checkpoint(now_ms))

    def take_in(self, topic: str, records: Sequence[Sent]) -> None:
        """Records of a topic that only stages write."""
        piece = self.piece(topic, records)
        if topic == "comparisons":
            self._take("judge", self.judge.process([piece], NOW_MS))
            self.judge.committed()
        self._take("aggregate", self.aggregate.process([piece], NOW_MS))
        self._take("aggregate", self.aggregate.checkpoint(NOW_MS))

    def piece(self, topic: str, records: Sequence[Sent]) -> RecordBatch:
        start = self.offsets[topic]
        self.offsets[topic] += len(records)
        keys, values, times = ([record[part] for record in records] for part in range(3))
        return RecordBatch(topic, 0, keys, values, times, list(range(start, start + len(records))))  # type: ignore[arg-type]

    def _take(self, stage: str, outputs: Outputs) -> None:
        for topic, rows in outputs.records.items():
            for _, key, value in rows:
                assert len(key or b"") + len(value or b"") <= LIMITS[topic], (
                    topic,
                    (key or b"")[:99],
                    (value or b"")[:99],
                )
                self.written.setdefault(topic, []).append((key, value))
                if topic == "dead-letters":
                    self.refused[stage].append(orjson.loads(value or b""))
            if topic in ("comparisons", "outcomes", "vitals"):
                piece = self.piece(topic, [(key, value, NOW_MS) for _, key, value in rows])
                if topic == "comparisons":
                    self._take("judge", self.judge.process([piece], NOW_MS))
                self._take("aggregate", self.aggregate.process([piece], NOW_MS))

    def check(self) -> dict[str, str]:
        """Every record is accounted for, and nothing that one stage wrote was refused by the next; statuses by id."""
        assert self.refused["aggregate"] == []
        assert {letter["topic"] for letter in self.refused["judge"]} <= {"n.labels"}
        comparisons = [orjson.loads(value or b"") for _, value in self.written["comparisons"]]
        statuses = {one["request_id"]: one["status"] for one in comparisons}
        assert len(statuses) == len(comparisons)
        vitals = [orjson.loads(value or b"") for _, value in self.written["vitals"]]
        books = [found["books"] for found in vitals if found["stage"] == "replay"][-1]
        became = Counter[str]()
        for counts in books["comparisons"].values():
            became.update(counts)
        assert became == Counter(statuses.values())
        for side, absent in (("requests", "request_missing"), ("predictions", "live_missing")):
            entry = books[side]
            assert entry["read"] == self.offsets[side]
            others = entry["duplicates"] + entry["dead_lettered"] + entry["waiting"] + entry["sampled_out"]
            assert entry["read"] == others + became.total() - became[absent]
        counted = Counter[str]()
        for key, value in dict(self.written["partials"]).items():
            if (key or b"").split(b"|")[1:3] == [b"all", b"all"]:
                counted.update(orjson.loads(value or b"")["totals"]["statuses"])
        assert counted == became
        return statuses


def sent(name: str, fields: Mapping[str, str | None], at_ms: int = NOW_MS) -> Sent:
    return name.encode(), record(**{**fields, "request_id": json.dumps(name)}), at_ms


def fine(good: dict[str, str], names: Iterable[str]) -> list[Sent]:
    return [sent(name, good) for name in names]


@pytest.mark.parametrize("task", TASKS)
def test_any_field_of_a_request_with_anything_in_it_is_refused_where_it_enters_or_counted_to_the_end(
    task: str, tmp_path: Path
) -> None:
    chain, cases = Chain(tmp_path, task), dict(variants(REQUEST, huge=task == TASKS[0]))
    chain.send([sent(*case) for case in cases.items()], fine(PREDICTION, cases), fine(LABEL, cases))
    statuses = chain.check()
    assert statuses.keys() == cases.keys()


@pytest.mark.parametrize("task", TASKS)
def test_any_field_of_a_live_prediction_with_anything_in_it_is_refused_where_it_enters_or_counted_to_the_end(
    task: str, tmp_path: Path
) -> None:
    chain, cases = Chain(tmp_path, task), dict(variants(PREDICTION, huge=task == TASKS[0]))
    chain.send(fine(REQUEST, cases), [sent(*case) for case in cases.items()], fine(LABEL, cases))
    statuses = chain.check()
    assert statuses.keys() == cases.keys()


@pytest.mark.parametrize("task", TASKS)
def test_any_answer_and_any_scores_of_the_shadow_are_counted_to_the_end(task: str, tmp_path: Path) -> None:
    chain, found = Chain(tmp_path, task), list(values(huge=task == TASKS[0]))
    cases = {f"{name} {kind}": f'{{"{name}":{text}}}' for name in ("answer", "scores") for kind, text in found}
    requests = [sent(name, {**REQUEST, "features": text}) for name, text in cases.items()]
    chain.send(requests, fine(PREDICTION, cases), fine(LABEL, cases))
    assert chain.check().keys() == cases.keys()


@pytest.mark.parametrize("task", TASKS)
def test_any_field_of_a_label_with_anything_in_it_is_refused_where_it_enters_or_counted_to_the_end(
    task: str, tmp_path: Path
) -> None:
    chain, cases = Chain(tmp_path, task), dict(variants(LABEL, huge=task == TASKS[0]))
    chain.send(fine(REQUEST, cases), fine(PREDICTION, cases), [sent(*case) for case in cases.items()])
    assert chain.check() == dict.fromkeys(cases, "compared")
    outcomes = {key.decode() for key, _ in chain.written["outcomes"] if key is not None}
    refused = {letter["key"] for letter in chain.refused["judge"]}
    assert outcomes | refused == cases.keys()
    assert not outcomes & refused


KEYS: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\xff",
    b"\x80",
    b"\xed\xa0\x80",
    b"a" * 513,
    b"k" * 9_000_000,
    b"other",
    b"a\x00b",
)


@pytest.mark.parametrize("topic", ["requests", "predictions", "labels"])
def test_any_key_is_refused_where_it_enters_or_counted_to_the_end(topic: str, tmp_path: Path) -> None:
    chain, good = Chain(tmp_path, "classification"), {"requests": REQUEST, "predictions": PREDICTION, "labels": LABEL}
    ids = [f"r{number}" for number in range(len(KEYS))]
    records = {name: fine(fields, ids) for name, fields in good.items()}
    records[topic] = [(key, value, at_ms) for key, (_, value, at_ms) in zip(KEYS, records[topic], strict=True)]
    chain.send(**records)
    chain.check()
    assert len([*chain.refused["replay"], *chain.refused["judge"]]) == len(KEYS)


@pytest.mark.parametrize("at_ms", [-1, 0, 1, NOW_MS // 1_000, NOW_MS * 1_000, NOW_MS * 1_000_000, 2**63 - 1])
@pytest.mark.parametrize("both", [True, False])
def test_any_time_that_kafka_keeps_with_a_record_is_counted_to_the_end(at_ms: int, both: bool, tmp_path: Path) -> None:
    chain, ids = Chain(tmp_path, "classification"), ["r1", "r2"]
    requests = [sent(name, REQUEST, at_ms) for name in (ids if both else ids[:1])]
    predictions = [sent(name, PREDICTION, at_ms) for name in (ids if both else ids[1:])]
    chain.send(requests, predictions, [sent(name, LABEL, at_ms) for name in ids])
    statuses = chain.check()
    assert statuses == dict.fromkeys(ids, "compared") if both else {"r1": "live_missing", "r2": "request_missing"}


@pytest.mark.parametrize("size", [MAX_OUTPUT_BYTES, MAX_RECORD_BYTES, 2 * MAX_RECORD_BYTES])
@pytest.mark.parametrize("topic", ["requests", "predictions", "labels"])
def test_a_record_as_large_as_a_topic_takes_or_larger_ends_like_any_other(
    size: int, topic: str, tmp_path: Path
) -> None:
    chain, good = Chain(tmp_path, "classification"), {"requests": REQUEST, "predictions": PREDICTION, "labels": LABEL}
    records = {name: fine(fields, ["r1", "r2"]) for name, fields in good.items()}
    key, value, at_ms = records[topic][0]
    records[topic][0] = key, (value or b"") + b" " * (size - len(value or b"")), at_ms
    waiting = {"requests": "predictions", "predictions": "requests"}.get(topic)
    if waiting is not None:
        del records[waiting][0]
    chain.send(**records)
    chain.check()


def test_ids_without_end_fit_into_the_changelog(tmp_path: Path) -> None:
    chain, ids = Chain(tmp_path, "classification"), ["x" * 500 + str(number) for number in range(40_000)]
    chain.send(fine(REQUEST, ids), fine(PREDICTION, ids))
    assert set(chain.check().values()) == {"compared"}
    kept = {key: value for key, value in chain.written["replay-changelog"] if (key or b"").startswith(b"a")}
    assert sorted(b"\xff".join(value or b"" for value in kept.values()).split(b"\xff")) == sorted(map(str.encode, ids))


def test_an_answer_that_is_too_large_is_a_failure_of_who_gave_it_and_says_so(tmp_path: Path) -> None:
    chain, answer = Chain(tmp_path, "classification"), json.dumps("x" * 9_000_000)
    echoed = '{"answer":' + answer + "}"
    cases = {"shadow": (echoed, '"yes"'), "live": ("{}", answer), "both": (echoed, answer)}
    requests = [sent(name, {**REQUEST, "features": features}) for name, (features, _) in cases.items()]
    predictions = [sent(name, {**PREDICTION, "prediction": text}) for name, (_, text) in cases.items()]
    chain.send(requests, predictions)
    assert chain.check() == {"shadow": "shadow_error", "live": "live_error", "both": "live_error"}
    found = {key: orjson.loads(value or b"") for key, value in chain.written["comparisons"]}
    told = "bytes was left out: at most 1,048,576 are kept"
    assert told in found[b"shadow"]["shadow"]["error"]
    assert told in found[b"live"]["live"]["error"]
    assert told in found[b"both"]["shadow"]["error"]
    assert found[b"both"]["live"]["prediction"] is None


@pytest.mark.parametrize("lost", [0, 3, 6])
def test_a_comparison_that_is_lost_on_the_way_shows_with_the_next_one_and_after_a_restart(
    lost: int, tmp_path: Path
) -> None:
    chain, ids = Chain(tmp_path, "classification"), [f"r{number}" for number in range(8)]
    chain.send(fine(REQUEST, ids), fine(PREDICTION, ids))
    sources = AggregateStage(frozenset({0}), chain.settings), AggregateStage(frozenset({0}), chain.settings)
    rows, kept = chain.written["comparisons"], dict[bytes | None, bytes | None]()
    for offset, (key, value) in enumerate(rows):
        stage = sources[offset > 4]
        if offset == 5:  # the second one goes on from what the first has kept
            stage.restore(
                RecordBatch("partials", 0, list(kept), list(kept.values()), [0] * len(kept), [*range(len(kept))])
            )
            stage.resume_at({("comparisons", 0): 5, ("outcomes", 0): 0})
        if offset != lost:
            stage.process([RecordBatch("comparisons", 0, [key], [value], [NOW_MS], [offset])], NOW_MS)
        kept.update({key: value for _, key, value in stage.checkpoint(NOW_MS).records.get("partials", [])})
        whole = [decode(Partial, value) for key, value in kept.items() if b"|all|all|" in (key or b"")]
        books = books_of("live@1~s@1", whole, {0: {"books": {"comparisons": {"live@1~s@1": {}}}}})
        assert books["gap"] == (1 if offset > lost else 0)


SIDE = '{"model":"m@1","prediction":"yes","scores":{"yes":0.5,"no":0.5},"latency_ms":1.5,"error":null}'
INTERNAL = {
    "comparisons": {
        "request_id": "",
        "timestamp_ms": str(NOW_MS),
        "trial": '"live@1~s@1"',
        "status": '"compared"',
        "live": SIDE,
        "shadow": SIDE,
        "agree": "true",
        "distance": "0.5",
        "weight": "1.0",
        "number": "1",
        "segments": '{"country":"DE"}',
        "missing_features": '["age"]',
        "features": '{"x":1}',
    },
    "outcomes": {
        "request_id": "",
        "timestamp_ms": str(NOW_MS),
        "trial": '"live@1~s@1"',
        "label": '"yes"',
        "weight": "1.0",
        "live_correct": "true",
        "shadow_correct": "false",
        "live_loss": "0.5",
        "shadow_loss": "0.25",
        "segments": '{"country":"DE"}',
        "agree": "true",
        "live": SIDE,
        "shadow": SIDE,
        "retracts": "false",
    },
    "vitals": {
        "stage": '"replay"',
        "shadow": '"s"',
        "worker": '"w"',
        "partition": "0",
        "timestamp_ms": str(NOW_MS),
        "books": '{"comparisons":{"live@1~s@1":{"compared":1}}}',
        "model": "{}",
        "lag": "0",
        "share": "1.0",
    },
}
NESTED = {
    "comparisons": ("prediction", "scores", "latency_ms", "error", "model"),
    "outcomes": ("prediction", "scores"),
    "vitals": ("comparisons", "requests"),
}


def forged(topic: str) -> dict[str, dict[str, str | None]]:
    """Records of a topic that only stages write, with anything in any field, and in any field of both answers."""
    good = INTERNAL[topic]
    cases = dict(variants(good, huge=False))
    for side in ("live", "shadow") if topic != "vitals" else ("books",):
        for name in NESTED[topic]:
            for kind, text in values(huge=False):
                parts = {**json.loads(good[side]), name: None}
                cases[f"{side}.{name} is {kind}"] = {
                    **good,
                    side: json.dumps(parts).replace(f'"{name}": null', f'"{name}":{text}'),
                }
    return cases


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("topic", INTERNAL)
def test_whatever_stands_in_an_internal_topic_is_set_aside_or_counted_and_what_is_kept_can_be_read_back(
    topic: str, task: str, tmp_path: Path
) -> None:
    chain, cases = Chain(tmp_path, task), forged(topic)
    for start in range(2):
        records = [sent(f"{start} {name}", fields) for name, fields in cases.items()]
        chain.take_in(
            topic, [*records, *((key, value, NOW_MS) for key in (None, b"\xff") for value in (None, b"{", b"[]"))]
        )
        kept: dict[bytes | None, bytes | None] = dict(chain.written["partials"])
        chain.aggregate = AggregateStage(frozenset({0}), chain.settings)
        chain.aggregate.restore(
            RecordBatch("partials", 0, list(kept), list(kept.values()), [0] * len(kept), [*range(len(kept))])
        )
        chain.aggregate.resume_at({(name, 0): chain.offsets[name] for name in ("comparisons", "outcomes")})
    for key, value in kept.items():
        if value is not None and b"|vitals|" not in (key or b""):
            decode(Partial, value)
    assert {letter["topic"] for letter in chain.refused["aggregate"]} == {f"n.{topic}"}
    for value in kept.values():
        books_of("live@1~s@1", [], {0: orjson.loads(value or b"{}")})


def test_a_model_that_is_named_anew_with_each_request_is_set_aside_after_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowbus.aggregate.state.MOST_TRIALS", MAX_LIVE_MODELS)  # which would forget some of them
    chain, ids = Chain(tmp_path, "classification"), [f"r{number}" for number in range(MAX_LIVE_MODELS + 40)]
    named = [sent(name, {**PREDICTION, "model": f'"live@{name}"'}) for name in ids]
    chain.send(fine(REQUEST, ids), named)
    statuses = Counter(chain.check().values())
    assert statuses == {"compared": MAX_LIVE_MODELS, "live_missing": 40}
    assert {letter["reason"].partition(" and ")[2][:24] for letter in chain.refused["replay"]} == {
        "500 different ones have "
    }
    kept = dict(chain.written["replay-changelog"])
    chain.replay.close()
    state = ReplayPartition(Join(10))
    state.restore(
        RecordBatch("replay-changelog", 0, list(kept), list(kept.values()), [0] * len(kept), [*range(len(kept))])
    )
    assert len(state.models) == MOST_TRIALS
