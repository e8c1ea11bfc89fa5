"""A shadow is held against the control row by row, whatever came in between, in whatever batches, after any restart."""

import math
import random
from typing import Any

import numpy as np
import orjson
import pytest

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.paired_timings import MOST_ROWS, Timings
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.aggregate.state import RunningTotals
from shadowbus.records import Partial, decode
from shadowbus.settings import GateSettings, Settings, ShadowSettings
from shadowbus.stage import RecordBatch
from shadowbus.totals.definitions import LARGEST_RATIO, MetricDefinitions
from shadowbus.totals.key import Key
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.gate import decide

NEW, TWIN = "live@1~new@2", "live@1~twin@1"
SHADOWS = (ShadowSettings("new", "m"), ShadowSettings("twin", "m", control=True))
SETTINGS = Settings(namespace="t", partitions=1, shadow=SHADOWS)
TERMS = MetricDefinitions.of(SETTINGS)

Log = list[dict[str, Any]]


def row(trial: str, number: int, latency_ms: float | None, timed: str | None = "model") -> dict[str, Any]:
    told = {"model": "m@1", "prediction": "a", "scores": None, "error": None}
    live = {**told, "latency_ms": 30.0, "timed": "exchange"}
    shadow = {**told, "latency_ms": latency_ms, "timed": timed}
    both = {"live": live, "shadow": shadow, "agree": True, "distance": 0.0, "missing_features": []}
    name = {"request_id": f"r{number}", "timestamp_ms": 1_700_000_000_000 + number}
    return {"v": 1, "trial": trial, "status": "compared", **name, **both, "weight": 1.0, "segments": {}}


def a_log(rows: int = 400, seed: int = 3) -> Log:
    """Two replays that run apart by up to 60 rows; each times rows that the other does not."""
    rng = random.Random(seed)
    found = []
    for number in range(rows):
        for trial, lead in ((NEW, 0), (TWIN, 60)):
            took = rng.lognormvariate(0.3 if trial == NEW else 0.0, 0.4) if rng.random() < 0.6 else None
            found.append((number + rng.random() * 5 + lead * rng.random(), row(trial, number, took)))
    return [record for _, record in sorted(found, key=lambda one: one[0])]


def by_hand(log: Log) -> tuple[list[float], list[float]]:
    """Ratios and differences of all rows that both were timed on."""
    took: dict[str, dict[str, float]] = {NEW: {}, TWIN: {}}
    for record in log:
        if record["shadow"]["latency_ms"] is not None:
            took[record["trial"]][record["request_id"]] = record["shadow"]["latency_ms"]
    both = sorted(took[NEW].keys() & took[TWIN].keys())
    return (
        [math.log(took[NEW][one] / took[TWIN][one]) for one in both],
        [took[NEW][one] - took[TWIN][one] for one in both],
    )


def piece(log: Log, start: int) -> RecordBatch:
    offsets = list(range(start, start + len(log)))
    keys: list[bytes | None] = [record["request_id"].encode() for record in log]
    return RecordBatch("comparisons", 0, keys, [orjson.dumps(record) for record in log], [1] * len(log), offsets)


def counted(log: Log, batch: int) -> RunningTotals:
    running = RunningTotals(TERMS, 10)
    for start in range(0, len(log), batch):
        running.add(
            fold(piece(log[start : start + batch], start), running.vocabulary_of, running.definitions),
            1_700_000_000_000,
        )
    return running


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_rows_that_both_were_timed_on_are_paired_in_whatever_batches(batch: int) -> None:
    log = a_log()
    ratios, gaps = by_hand(log)
    assert len(ratios) > 100
    totals = counted(log, batch).totals[Key(NEW)]
    assert (totals.slowdown.n, totals.control_gap.n) == (len(ratios), len(gaps))
    assert totals.slowdown.mean == pytest.approx(np.mean(ratios))
    assert totals.slowdown.m2 == pytest.approx(np.var(ratios) * len(ratios))
    assert totals.control_gap.mean == pytest.approx(np.mean(gaps))
    assert counted(log, batch).totals[Key(TWIN)].slowdown.n == 0


def test_a_worker_that_is_killed_between_two_halves_pairs_them_all_the_same() -> None:
    log = a_log()
    stage, kept = AggregateStage(frozenset({0}), SETTINGS), dict[bytes, bytes | None]()
    for start in range(0, len(log), 50):
        outputs = [stage.process([piece(log[start : start + 50], start)], 1_700_000_000_000), stage.checkpoint(5)]
        kept.update({key: value for out in outputs for _, key, value in out.records.get("partials", []) if key})
        stage = AggregateStage(frozenset({0}), SETTINGS)
        values = list(kept.values())
        stage.restore(RecordBatch("partials", 0, list(kept), values, [1] * len(kept), list(range(len(kept)))))
        stage.resume_at({("comparisons", 0): start + 50})
    partial = decode(Partial, kept[f"{NEW}|all|all|0".encode()])
    whole = counted(log, 1_000)
    found = whole.totals[Key(NEW)]
    assert partial.totals["slowdown"] == orjson.loads(orjson.dumps(found.slowdown.to_record()))
    assert partial.totals["control_gap"] == orjson.loads(orjson.dumps(found.control_gap.to_record()))
    assert partial.names["timings"] == whole.vocabulary_of(NEW).timings.to_record()["timings"]


def test_what_is_kept_is_bounded_and_what_is_not_timed_alone_is_not_kept() -> None:
    log = [row(TWIN, number, 1.0) for number in range(3 * MOST_ROWS)]
    running = counted([*log, row(NEW, 3 * MOST_ROWS - 1, 2.0), row(NEW, 0, 2.0)], 100)
    assert len(running.vocabulary_of(TWIN).timings.rows) == MOST_ROWS
    assert running.totals[Key(NEW)].slowdown.n == 1  # the other one came too late
    for timed in ("call", None):
        assert not counted([row(NEW, 1, 1.0, timed)], 1).vocabulary_of(NEW).timings.rows
    alone = RunningTotals(MetricDefinitions(TERMS.window_ms), 10)
    assert not fold(piece(log[:5], 0), alone.vocabulary_of, alone.definitions).timed  # nobody to hold it against


def test_no_row_counts_for_more_than_the_largest_ratio() -> None:
    running = counted([row(TWIN, 1, 1e-3), row(NEW, 1, 1e3), row(TWIN, 2, 0.0), row(NEW, 2, 0.0)], 10)
    found = running.totals[Key(NEW)].slowdown
    assert found.n == 2
    assert found.mean == pytest.approx(math.log(LARGEST_RATIO) / 2)


def test_odd_names_of_a_partial_are_no_timings() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        Timings().keep({"timings": ["a b"]})


def evidence(ratios: "np.ndarray[Any, Any]") -> Evidence:
    logs = np.log(ratios).clip(-math.log(LARGEST_RATIO), math.log(LARGEST_RATIO))
    n = len(logs)
    mean, m2 = (float(logs.mean()), float(logs.var() * n)) if n else (0.0, 0.0)
    counts = Counts(comparisons=20 * n + 10, asked=20 * n + 10, slowdown_n=n, slowdown_mean=mean, slowdown_m2=m2)
    return Evidence(NEW, counts, {}, slowdown_reach=math.log(LARGEST_RATIO))


@pytest.mark.parametrize(
    ("times", "rows", "verdict"),
    [
        (1.0, 600, "PROMOTE"),
        (0.5, 200, "PROMOTE"),
        (1.0, 5, "KEEP_WATCHING"),
        (1.3, 2_000, "KEEP_WATCHING"),
        (2.0, 400, "SEND_BACK"),
        (1.0, 0, "KEEP_WATCHING"),
    ],
)
def test_a_shadow_is_judged_by_how_many_times_as_long_it_takes(times: float, rows: int, verdict: str) -> None:
    ratios = times * np.random.default_rng(7).lognormal(0.0, 0.3, rows)
    gate = GateSettings(max_slowdown=1.3, min_requests=1)
    decision = decide(evidence(ratios / np.exp(np.log(ratios).mean()) * times if rows else ratios), gate)
    assert decision.verdict == verdict
    (one,) = [one for one in decision.criteria if one.name == "slower_than_control"]
    assert one.n == rows
    assert one.limit == 1.3
    if rows:
        assert one.low <= times <= one.high
        assert one.value == pytest.approx(times)
    if verdict == "KEEP_WATCHING" and times == 1.0:
        more = decision.needed.requests
        assert more
        enough = rows + math.ceil((more + 1) * (rows or 1) / max(1, decision.requests if rows else 1))
        grown = np.random.default_rng(7).lognormal(0.0, 0.3 if rows else 0.0, enough)
        assert decide(evidence(grown), gate).verdict == "PROMOTE" or rows


def test_a_shadow_as_slow_as_the_limit_is_promoted_in_at_most_one_trial_of_twenty_however_often_one_looks() -> None:
    rng, looks, wrong = np.random.default_rng(11), range(50, 2_001, 50), 0
    for _ in range(100):
        ratios = 1.2 * rng.lognormal(0.0, 0.5, looks[-1])
        wrong += any(
            decide(evidence(ratios[:look]), GateSettings(max_slowdown=1.2, min_requests=1)).verdict == "PROMOTE"
            for look in looks
        )
    assert wrong <= 5
