"""A share of the requests is replayed: the same ids everywhere, all accounted for, every rate as if all were there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pytest

from fakes.instant_model import InstantModel
from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.state import RunningTotals
from shadowbus.cli.read.overview import TrialStatus, left_out_notes
from shadowbus.compare import make_comparator
from shadowbus.decide.evidence import counts_of
from shadowbus.errors import SettingsError
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.shedding import STEP_MS, Shedding
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import ReplaySettings, parse_settings
from shadowbus.stage import Outputs, RecordBatch
from shadowbus.summary.metrics import summarize
from shadowbus.summary.view import SummaryOptions
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import Key
from shadowbus.totals.totals import Totals
from shadowbus.verdict.sequential import rate_evidence_below, rate_interval

TRIAL = "live@1~s@1"
SIDES = ("requests", "predictions")
TERMS = MetricDefinitions(60_000, 10.0)
READING = SummaryOptions(0.05)


def make_stage(share: float, shadow: str = "s", held: Iterable[int] = (0,), **replay: object) -> ReplayStage:
    document: dict[str, Any] = {
        "namespace": "n",
        "shadow": [{"name": shadow, "model": "m", "task": "regression"}],
        "replay": {"join_window_ms": 1000, "keep_share": share, **replay},
    }
    settings = parse_settings(document, Path("shadow.toml"), {})
    model = cast(ModelProcess, InstantModel())
    comparator = make_comparator("regression", {})
    return ReplayStage(
        frozenset(held), settings=settings, shadow=settings.shadow[0], model=model, comparator=comparator, worker="w"
    )


def pieces(ids: Sequence[int], partition: int, at_ms: int = 0, sides: Sequence[str] = SIDES) -> list[RecordBatch]:
    """Both halves of each id, whose offsets are the ids."""
    keys: list[bytes | None] = [b"id-%d" % number for number in ids]
    values: dict[str, list[bytes | None]] = {
        "requests": [b'{"request_id":"id-%d","timestamp_ms":1,"features":{"x":%d}}' % (n, n) for n in ids],
        "predictions": [
            b'{"request_id":"id-%d","timestamp_ms":1,"model":"live@1","prediction":%d}' % (n, 2 * n) for n in ids
        ],
    }
    return [RecordBatch(side, partition, keys, values[side], [at_ms] * len(ids), list(ids)) for side in sides]


def comparisons(outputs: Iterable[Outputs]) -> list[dict[str, Any]]:
    rows = [row for one in outputs for row in one.records.get("comparisons", [])]
    return [orjson.loads(value) for _, _, value in rows if value is not None]


def books(stage: ReplayStage) -> dict[str, Any]:
    (state,) = stage.partitions.values()
    return state.books.record()


class TestReplay:
    def test_a_share_of_the_ids_is_compared_with_its_weight_and_the_rest_is_accounted_for(self) -> None:
        count = 40_000
        stage = make_stage(0.25)
        outputs = [stage.process(pieces(range(start, start + 4_000), 0), 0) for start in range(0, count, 4_000)]
        outputs.append(stage.drain(0))
        found = comparisons(outputs)
        kept = {one["request_id"] for one in found}
        assert len(kept) == len(found)
        assert abs(len(kept) - count / 4) < 5 * math.sqrt(count * 0.25 * 0.75)
        assert {one["weight"] for one in found} == {4.0}
        page = books(stage)
        assert page["comparisons"] == {TRIAL: {"compared": len(kept)}}
        for side in SIDES:
            assert (page[side]["read"], page[side]["waiting"]) == (count, 0)
            assert page[side]["sampled_out"] == count - len(kept)
        assert orjson.loads(outputs[-1].records["vitals"][0][2] or b"")["share"] == 0.25

    def test_another_shadow_in_other_partitions_and_after_a_restart_keeps_the_same_ids(self) -> None:
        one = make_stage(0.25)
        first = {c["request_id"] for c in comparisons([one.process(pieces(range(4_000), 0), 0), one.drain(0)])}
        other: list[Outputs] = []
        for start in (0, 2_000):  # a stage each, as after a restart
            stage = make_stage(0.25, "t", (0, 1))
            odd, even = range(start, start + 2_000, 2), range(start + 1, start + 2_000, 2)
            other += [stage.process([*pieces(odd, 0), *pieces(even, 1)], 0), stage.drain(0)]
        assert {c["request_id"] for c in comparisons(other)} == first
        half = make_stage(0.5)
        assert first < {c["request_id"] for c in comparisons([half.process(pieces(range(4_000), 0), 0), half.drain(0)])}

    def test_a_half_left_alone_meets_the_same_fate_and_a_prediction_alone_always_counts_once(self) -> None:
        pairs, alone = make_stage(0.5), make_stage(0.5)
        kept = {c["request_id"] for c in comparisons([pairs.process(pieces(range(400), 0), 0), pairs.drain(0)])}
        lags = {("requests", 0): 0, ("predictions", 0): 0}
        outputs = [alone.tick(0, lags), alone.process(pieces(range(400), 0, sides=["requests"]), 0)]
        outputs += [alone.process(pieces(range(1_000, 1_100), 0, sides=["predictions"]), 0), alone.tick(5_000, lags)]
        found = comparisons([*outputs, alone.drain(5_000)])
        missing = [one for one in found if one["status"] == "live_missing"]
        assert {one["request_id"] for one in missing} == kept
        assert {one["weight"] for one in missing} == {2.0}
        assert [one["weight"] for one in found if one["status"] == "request_missing"] == [1.0] * 100
        page = books(alone)
        assert (page["requests"]["sampled_out"], page["predictions"]["sampled_out"]) == (400 - len(kept), 0)

    def test_an_id_that_was_sampled_out_is_a_duplicate_when_it_comes_again(self) -> None:
        stage = make_stage(0.5)
        again = [replace_offsets(piece, 200) for piece in pieces(range(200), 0)]
        outputs = [stage.process(pieces(range(200), 0), 0), stage.process(again, 0), stage.drain(0)]
        page = books(stage)
        assert page["requests"]["duplicates"] == page["predictions"]["duplicates"] == 200
        assert len(comparisons(outputs)) + page["requests"]["sampled_out"] == 200

    def test_the_count_survives_a_restart_and_books_written_before_it_existed_are_read(self) -> None:
        stage = make_stage(0.5)
        stage.process(pieces(range(200), 0), 0)
        stage.drain(0)
        rows = stage.checkpoint(0).records["replay-changelog"]
        values = [value for _, _, value in rows]
        restored = make_stage(0.5)
        restored.restore(
            RecordBatch("replay-changelog", 0, [key for _, key, _ in rows], values, [0] * len(rows), [0, 1])
        )
        assert books(restored) == books(stage)
        assert books(restored)["requests"]["sampled_out"] > 0
        old = orjson.loads(values[-1] or b"")
        for side in SIDES:
            del old[side]["sampled_out"]
        before = make_stage(0.5)
        before.restore(RecordBatch("replay-changelog", 0, [b"books"], [orjson.dumps(old)], [0], [1]))
        assert books(before)["requests"] == {**books(stage)["requests"], "sampled_out": 0}

    def test_a_worker_that_is_behind_takes_less_and_says_so(self) -> None:
        stage = make_stage(1.0, shed_when_behind_seconds=10)
        now, outputs = 1_000_000, list[Outputs]()
        for step in range(4):
            batch = pieces(range(step * 500, step * 500 + 500), 0, at_ms=now - 11_000)
            outputs.append(stage.process(batch, now + step * STEP_MS))
        outputs.append(stage.drain(now))
        weights = [one["weight"] for one in comparisons(outputs)]
        assert sorted(set(weights)) == [2.0, 4.0, 8.0, 16.0]
        assert orjson.loads(outputs[-1].records["vitals"][0][2] or b"")["share"] == 1 / 16
        assert abs(sum(weights) - 2_000) < 5 * math.sqrt(sum(weight * (weight - 1) * 500 for weight in (2, 4, 8, 16)))


def replace_offsets(piece: RecordBatch, by: int) -> RecordBatch:
    return RecordBatch(
        piece.topic, 0, piece.keys, piece.values, piece.timestamps, [offset + by for offset in piece.offsets]
    )


class TestShare:
    def test_it_settles_where_the_worker_keeps_up_and_comes_back_when_the_traffic_is_gone(self) -> None:
        """A queue in a few lines: 1,000 requests come each second, the model takes 180, later only 100 come."""
        shedding = Shedding(ReplaySettings(shed_when_behind_seconds=30))
        lags, shares, queue_s = list[float](), list[float](), 0.0
        for second in range(3_000):
            arriving = 1_000 if second < 2_000 else 100
            shedding.observe(int(queue_s * 1000), second * 1000)
            queue_s = max(0.0, queue_s + 1 - 180 / (arriving * shedding.share))
            lags.append(queue_s)
            shares.append(shedding.share)
        assert max(lags) < 45
        assert set(shares[200:2_000]) == {0.125, 0.25}  # 0.18 is what the model can take
        changes = sum(before != after for before, after in pairwise(shares[200:2_000]))
        assert changes <= 1_800 / 30
        assert (lags[-1], shares[-1]) == (0.0, 1.0)

    def test_it_stays_where_it_is_while_a_backlog_is_being_worked_off(self) -> None:
        shedding = Shedding(ReplaySettings(shed_when_behind_seconds=30))
        for second in range(100):
            shedding.observe(200_000 - second * 1_500, second * 1_000)
        assert shedding.share == 0.5

    @pytest.mark.parametrize(("least", "end"), [(0.01, 0.01), (0.3, 0.3), (1.0, 0.8)])
    def test_it_never_goes_below_the_least_nor_above_the_most(self, least: float, end: float) -> None:
        shedding = Shedding(ReplaySettings(keep_share=0.8, min_share=least, shed_when_behind_seconds=1))
        for second in range(100):
            shedding.observe(second * 1000, second * 1000)
        assert shedding.share == end
        for second in range(100, 300):
            shedding.observe(0, second * 1000)
        assert shedding.share == 0.8

    def test_a_share_that_is_fixed_does_not_move(self) -> None:
        shedding = Shedding(ReplaySettings(keep_share=0.5))
        shedding.observe(10**9, 10**9)
        assert shedding.share == 0.5

    @pytest.mark.parametrize("wrong", [{"keep_share": 0.0}, {"keep_share": 1.5}, {"shed_when_behind_seconds": -1.0}])
    def test_settings_that_make_no_sense_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            make_stage(**{"share": 1.0, **wrong})  # type: ignore[arg-type]


class Traffic:
    """60,000 requests, in the middle of which the shadow gets worse, and replay keeps one in eight from then on."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        late = np.arange(60_000) >= 30_000
        self.agree = rng.random(late.size) < np.where(late, 0.6, 0.95)
        self.failed = rng.random(late.size) < np.where(late, 0.1, 0.01)
        self.latency = rng.gamma(4, np.where(late, 5.0, 1.0))
        self.loss = rng.normal(np.where(late, 1.0, 0.0))
        self.right = rng.random(late.size) < np.where(late, 0.5, 0.9)
        self.weights = np.where(late, 8.0, 1.0)
        self.kept = rng.random(late.size) < 1 / self.weights

    def comparison(self, row: int, weight: float) -> bytes:
        failed = bool(self.failed[row])
        latency_ms = None if failed else float(self.latency[row])
        return orjson.dumps(
            {
                "trial": TRIAL,
                "timestamp_ms": 1_000,
                "status": "shadow_error" if failed else "compared",
                "live": {"latency_ms": 1.0, "error": None},
                "shadow": {"latency_ms": latency_ms, "error": "boom" if failed else None},
                "agree": None if failed else bool(self.agree[row]),
                "distance": None if failed else float(self.loss[row]),
                "weight": weight,
                "segments": {"country": "DE"},
            }
        )

    def outcome(self, row: int, weight: float) -> bytes:
        answers = {"live_correct": True, "shadow_correct": bool(self.right[row])}
        losses = {"live_loss": 0.0, "shadow_loss": float(self.loss[row])}
        return orjson.dumps({"trial": TRIAL, "timestamp_ms": 1_000, "weight": weight, **answers, **losses})

    def totals(self, rows: Iterable[int], weights: Sequence[float], key: Key | None = None) -> Totals:
        """Folded in slices of 4,000 and merged, as the aggregate does."""
        totals, rows = Totals(), list(rows)
        for start in range(0, len(rows), 4_000):
            part = list(zip(rows[start : start + 4_000], weights[start : start + 4_000], strict=True))
            for topic, make in (("comparisons", self.comparison), ("outcomes", self.outcome)):
                values: list[bytes | None] = [make(row, weight) for row, weight in part]
                none = [0] * len(values)
                folded = fold(
                    RecordBatch(topic, 0, [b"k"] * len(values), values, none, none),
                    RunningTotals(TERMS, 3).vocabulary_of,
                    TERMS,
                )
                assert not folded.rejected
                totals += folded.totals.get(key or Key(TRIAL), Totals())
        return totals


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Made once: it is only read."""
    return Traffic()


class TestRates:
    @pytest.mark.parametrize("key", [Key(TRIAL), Key(TRIAL, "country=DE")])
    def test_they_are_those_of_all_requests_though_share_and_rate_change_together(
        self, traffic: Traffic, key: Key
    ) -> None:
        rows = np.flatnonzero(traffic.kept).tolist()
        weighted = summarize(traffic.totals(rows, traffic.weights[rows].tolist(), key), READING)
        plain = summarize(traffic.totals(rows, [1.0] * len(rows), key), READING)
        there = ~traffic.failed
        wanted = {
            "agreement": traffic.agree[there].mean(),
            "errors": traffic.failed.mean(),
            "over_budget": (traffic.latency[there] > 10).mean(),
            "distance": traffic.loss[there].mean(),
        }
        if key.segment == "all":
            wanted["loss_difference"] = traffic.loss.mean()
        for name, truth in wanted.items():
            assert abs(weighted[name]["value"] - truth) < 0.025, name
            assert abs(plain[name]["value"] - truth) > min(0.1, abs(truth) / 2), name
        median = np.quantile(traffic.latency[there], 0.5)
        assert weighted["shadow_latency_ms"]["p50"] == pytest.approx(median, rel=0.08)
        assert plain["shadow_latency_ms"]["p50"] < 0.7 * median
        assert weighted["requests"] == plain["requests"] == len(rows)
        if key.segment == "all":
            assert abs(weighted["accuracy"]["shadow"] - traffic.right.mean()) < 0.02
            assert abs(plain["accuracy"]["shadow"] - traffic.right.mean()) > 0.1

    def test_the_gate_gets_them_in_proportion_and_never_more_than_the_effective_sample(self, traffic: Traffic) -> None:
        rows = np.flatnonzero(traffic.kept)
        weights = traffic.weights[rows]
        counts = counts_of(traffic.totals(rows.tolist(), weights.tolist()))
        assert (counts.comparisons, counts.labels) == (len(rows), len(rows))
        assert counts.asked == pytest.approx(weights.sum() / 8, abs=1e-3)
        assert counts.asked <= weights.sum() ** 2 / (weights**2).sum()  # Kish's
        assert counts.shadow_errors == pytest.approx(weights[traffic.failed[rows]].sum() / 8, abs=1e-3)
        right = weights[traffic.right[rows]].sum() / 8
        assert counts.both_right == pytest.approx(right, abs=1e-3)
        mean = np.average(traffic.loss[rows], weights=weights)
        assert counts.loss_mean == pytest.approx(mean)
        assert counts.loss_m2 / counts.loss_n == pytest.approx(
            np.average((traffic.loss[rows] - mean) ** 2, weights=weights)
        )

    def test_one_weight_for_all_changes_neither_rates_nor_intervals(self, traffic: Traffic) -> None:
        rows = range(3_000)
        fours, ones = traffic.totals(rows, [4.0] * 3_000), traffic.totals(rows, [1.0] * 3_000)
        quantiles = dict.fromkeys(
            ("live_latency_ms", "shadow_latency_ms", "latency_difference_ms")
        )  # of four times as many values
        moments = {name: pytest.approx(summarize(ones, READING)[name]) for name in ("distance", "loss_difference")}
        assert {**summarize(fours, READING), **quantiles} == {**summarize(ones, READING), **quantiles, **moments}
        assert replace(counts_of(fours), loss_n=0, loss_mean=0, loss_m2=0) == replace(
            counts_of(ones), loss_n=0, loss_mean=0, loss_m2=0
        )
        assert "weights" not in ones.to_record()
        assert (
            summarize(ones, READING)["errors"]["high"] == rate_interval(ones.count("shadow_errors"), 3_000, 0.05).high
        )

    @pytest.mark.parametrize("weight", [0.5, -1, 1e9, "2", None, True])
    def test_a_weight_that_cannot_be_is_set_aside(self, traffic: Traffic, weight: Any) -> None:
        value = traffic.comparison(0, weight)
        folded = fold(
            RecordBatch("comparisons", 0, [b"k"], [value], [0], [0]), RunningTotals(TERMS, 3).vocabulary_of, TERMS
        )
        assert [reason for _, reason in folded.rejected] == ["the field 'weight' has to be a number from 1 to 1000"]


def test_looking_all_the_time_at_weighted_counts_misleads_no_more_often_than_promised() -> None:
    """The true rate is the limit. How often is it ever shown to be below? The share changes every now and then."""
    rng, limit, alpha, runs, looks = np.random.default_rng(5), 0.05, 0.05, 400, 60
    missed = {"scaled": 0, "as if all were seen": 0}
    for _ in range(runs):
        weights = np.repeat(rng.choice([1.0, 8.0], looks), 40)
        bad = rng.random(weights.size) < limit
        ends = np.arange(40, weights.size + 1, 40) - 1
        total, hits = np.cumsum(weights)[ends], np.cumsum(weights * bad)[ends]
        for name, heaviest in (("scaled", np.maximum.accumulate(weights)[ends]), ("as if all were seen", 1.0)):
            wealth = map(rate_evidence_below, hits / heaviest, total / heaviest, [limit] * looks)
            missed[name] += max(wealth) >= -math.log(alpha)
    assert missed["scaled"] <= alpha * runs
    assert missed["as if all were seen"] > 2 * alpha * runs


def test_status_says_what_was_left_out_and_what_the_share_is_now() -> None:
    def note(share: float, left_out: int) -> list[str]:
        found = {"requests": {"read": 4_000, "sampled_out": left_out}, "share": share}
        return list(left_out_notes([TrialStatus(TRIAL, {}, 0, found, 0)]))

    assert note(0.25, 3_000) == [
        f"{TRIAL}: 3,000 of 4,000 requests (75.0 %) were not replayed, to keep pace; "
        "the share that is replayed now is 25.0 %."
    ]
    assert note(1.0, 0) == []
    assert list(left_out_notes([TrialStatus(TRIAL, {}, 0, {}, 0)])) == []
