"""A slice folds into what a plain loop over its records counts."""

import random
import statistics
from collections import Counter
from typing import Any

import orjson
import pytest

from shadowbus.aggregate.fold import Folded, fold
from shadowbus.aggregate.state import RunningTotals
from shadowbus.aggregate.vocabulary import MOST_WINDOWED
from shadowbus.records import STATUSES
from shadowbus.stage import RecordBatch
from shadowbus.totals.definitions import MOST_SEGMENTS, MetricDefinitions
from shadowbus.totals.key import Key

WINDOW_MS = 1_000
BUDGET_MS = 10.0
TRIAL = "live@1~new@2"


def answer(latency_ms: float | None = None, error: str | None = None) -> dict[str, Any]:
    return {"model": "m@1", "prediction": "yes", "scores": None, "latency_ms": latency_ms, "error": error}


def comparison(**changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "request_id": "r1",
        "timestamp_ms": 1_500,
        "trial": TRIAL,
        "status": "compared",
        "live": answer(3.0),
        "shadow": answer(4.0),
        "agree": True,
        "distance": 0.5,
        "weight": 1.0,
        "segments": {"country": "DE"},
        "missing_features": [],
        **changes,
    }


def outcome(**changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "request_id": "r1",
        "timestamp_ms": 1_500,
        "trial": TRIAL,
        "label": "yes",
        "live_correct": True,
        "shadow_correct": True,
        "live_loss": 0.25,
        "shadow_loss": 0.75,
        "segments": {},
        **changes,
    }


def folded(
    records: list[Any],
    topic: str = "comparisons",
    running: RunningTotals | None = None,
    budget: Any = BUDGET_MS,
) -> Folded:
    values = [record if isinstance(record, bytes | None) else orjson.dumps(record) for record in records]
    count = len(values)
    piece = RecordBatch(topic, 0, [b"r"] * count, values, [0] * count, list(range(count)))
    terms = MetricDefinitions(WINDOW_MS, budget)
    return fold(piece, (running or RunningTotals(terms, 3)).vocabulary_of, terms)


def random_comparison(rng: random.Random) -> dict[str, Any]:
    status = rng.choice(STATUSES)
    failed = status.startswith("shadow")
    both = status == "compared"
    return comparison(
        timestamp_ms=rng.randrange(10_000, 14_000),
        trial=rng.choice((TRIAL, "live@1~old@9")),
        status=status,
        live=None if status == "live_missing" else answer(rng.choice((None, 5, rng.random() * 30))),
        shadow=None
        if status == "request_missing"
        else answer(None if failed else rng.random() * 20, "boom" * failed or None),
        agree=rng.choice((True, False)) if both else None,
        distance=rng.random() if both else None,
        segments={"country": rng.choice(("DE", "FR")), "premium": rng.choice((True, False)), "tier": rng.randrange(2)},
        missing_features=rng.choice(([], ["age"])),
    )


def segments_of(record: dict[str, Any]) -> set[str]:
    plain = {True: "true", False: "false"}
    return {"all"} | {
        f"{name}={plain[value] if isinstance(value, bool) else value}" for name, value in record["segments"].items()
    }


def test_every_number_is_what_a_plain_loop_counts() -> None:
    rng = random.Random(3)
    records = [random_comparison(rng) for _ in range(2_000)]
    expected: dict[Key, list[dict[str, Any]]] = {}
    for record in records:
        window = str(record["timestamp_ms"] // WINDOW_MS * WINDOW_MS)
        for segment in segments_of(record):
            for key in (Key(record["trial"], segment), Key(record["trial"], segment, window)):
                expected.setdefault(key, []).append(record)
    result = folded(records).totals
    assert result.keys() == expected.keys()
    for key, members in expected.items():
        totals = result[key]
        ours = [r["shadow"]["latency_ms"] for r in members if r["shadow"] and r["shadow"]["latency_ms"] is not None]
        theirs = [r["live"]["latency_ms"] for r in members if r["live"] and r["live"]["latency_ms"] is not None]
        distances = [r["distance"] for r in members if r["distance"] is not None]
        assert totals.statuses == Counter(r["status"] for r in members)
        assert totals.count("agreed") == sum(r["agree"] is True for r in members)
        assert totals.count("disagreed") == sum(r["agree"] is False for r in members)
        assert totals.count("latency_rows") == totals.shadow_latency.n == len(ours)
        assert totals.count("over_budget") == sum(latency > BUDGET_MS for latency in ours)
        assert totals.live_latency.n == len(theirs)
        assert totals.shadow_latency.largest == pytest.approx(max(ours), rel=1e-6)
        assert totals.count("shadow_errors") == sum(bool(r["shadow"] and r["shadow"]["error"]) for r in members)
        assert totals.count("missing_features") == sum(bool(r["missing_features"]) for r in members)
        assert totals.distance.n == len(distances)
        assert totals.distance.mean == pytest.approx(statistics.fmean(distances))
        assert totals.first_ms == min(r["timestamp_ms"] for r in members)
        assert totals.last_ms == max(r["timestamp_ms"] for r in members)


def test_outcomes_fill_the_table_of_who_was_right_and_the_loss_difference() -> None:
    rights = [(True, True)] * 4 + [(False, True)] * 3 + [(True, False)] * 2 + [(False, False)] + [(None, True)] * 5
    losses = [(rng, rng * 2) for rng in (0.5, 1.0)] + [(None, 1.0)] * 13
    records = [
        outcome(live_correct=live, shadow_correct=shadow, live_loss=before, shadow_loss=after)
        for (live, shadow), (before, after) in zip(rights, losses, strict=True)
    ]
    totals = folded(records, "outcomes").totals[Key(TRIAL)]
    table = [totals.count(name) for name in ("both_right", "shadow_only", "live_only", "both_wrong")]
    assert table == [4, 3, 2, 1]
    assert totals.count("labels") == 15
    assert (totals.loss.n, totals.loss.mean, totals.loss.m2) == (2, 0.75, 0.125)
    assert totals.statuses == {}


def test_labels_are_counted_by_whether_the_answers_were_the_same() -> None:
    totals = folded([outcome(agree=agree) for agree in (True, True, False, None)], "outcomes").totals[Key(TRIAL)]
    assert [totals.count(name) for name in ("labels", "labelled_agreed", "labelled_disagreed")] == [4, 2, 1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the value is null"),
        (b"{", "not JSON"),
        (b"[1]", "shape"),
        (b"7", "shape"),
        ({"timestamp_ms": 1}, "'trial' is missing"),
        (comparison(status="fine"), "'status' cannot be 'fine'"),
        (comparison(status=[1]), "shape"),
        (comparison(trial="a|b"), "'trial' has to be"),
        (comparison(trial=7), "'trial' has to be"),
        (comparison(timestamp_ms="now"), "'timestamp_ms' has to be"),
        (comparison(timestamp_ms=-1), "'timestamp_ms' has to be"),
        (comparison(timestamp_ms=True), "'timestamp_ms' has to be"),
        (comparison(agree=1), "'agree' has to be"),
        (comparison(distance="far"), "'distance' has to be"),
        (comparison(shadow=answer(latency_ms="5")), "'shadow.latency_ms' has to be"),  # type: ignore[arg-type]
        (comparison(live="yes"), "shape"),
    ],
)
def test_a_malformed_comparison_is_named_and_the_others_are_counted(value: Any, reason: str) -> None:
    result = folded([comparison(), value, comparison()])
    assert [index for index, _ in result.rejected] == [1]
    assert reason in result.rejected[0][1]
    assert result.totals[Key(TRIAL)].statuses == {"compared": 2}
    assert result.totals[Key(TRIAL, "country=DE")].statuses == {"compared": 2}


@pytest.mark.parametrize("change", [{"live_correct": 1}, {"shadow_loss": "much"}, {"timestamp_ms": None}])
def test_a_malformed_outcome_is_named_and_the_others_are_counted(change: dict[str, Any]) -> None:
    result = folded([outcome(), outcome(**change)], "outcomes")
    assert [index for index, _ in result.rejected] == [1]
    assert result.totals[Key(TRIAL)].count("labels") == 1


def test_only_plain_values_that_fit_become_segments() -> None:
    odd = {
        "list": [1],
        "float": 0.5,
        "none": None,
        "long": "x" * 101,
        "bar": "a|b",
        "ok": "yes",
        "flag": True,
        "one": 1,
    }
    result = folded([comparison(segments=odd)])
    assert {key.segment for key in result.totals} == {"all", "ok=yes", "flag=true", "one=1"}


def test_segment_values_without_end_are_bounded_and_nothing_is_lost() -> None:
    running = RunningTotals(MetricDefinitions(WINDOW_MS), 3)
    records = [comparison(segments={"customer": f"c{i}"}) for i in range(1_000)]
    first, second = folded(records, running=running), folded(records, running=running)
    for result in (first, second):
        whole = {key.segment: totals for key, totals in result.totals.items() if key.window == "all"}
        assert len(whole) == MOST_SEGMENTS + 2
        assert whole["customer=other"].statuses == {"compared": 1_000 - MOST_SEGMENTS}
        assert whole["all"].statuses == {"compared": 1_000}
        windowed = {key.segment for key in result.totals if key.window != "all"}
        assert len(windowed) == MOST_WINDOWED + 1


def test_segment_names_without_end_are_bounded() -> None:
    result = folded([comparison(segments={f"name{i}": "x"}) for i in range(1_000)])
    assert len({key.segment for key in result.totals}) < MOST_SEGMENTS


def test_absurd_numbers_break_nothing() -> None:
    wild = [comparison(distance=1e300, live=answer(-5.0), shadow=answer(1e300)), comparison(distance=-1e300)]
    totals = folded(wild).totals[Key(TRIAL)]
    assert totals.live_latency.smallest == 0.0
    assert totals.count("over_budget") == 1
    assert totals.distance.n == 2


def test_without_a_budget_nothing_is_over_it() -> None:
    assert folded([comparison(shadow=answer(1e6))], budget=None).totals[Key(TRIAL)].count("over_budget") == 0
