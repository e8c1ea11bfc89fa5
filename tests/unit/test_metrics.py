"""Every metric of a fixed stream is what numpy and scikit-learn make of the records themselves."""

from typing import Any

import numpy as np
import orjson
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix, f1_score, log_loss, roc_auc_score

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.state import RunningTotals
from shadowbus.cli.read.overview import _trials
from shadowbus.records import TIMED, Aggregate, encode
from shadowbus.stage import RecordBatch
from shadowbus.story.harness import resources as told
from shadowbus.summary.metrics import summarize
from shadowbus.summary.resources import resources
from shadowbus.summary.view import SummaryOptions
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import Key
from shadowbus.totals.totals import Totals

TRIAL = "live@1~new@2"
COSTS = {("1", "0"): 10.0, ("0", "1"): 3.0, ("1", "1"): -2.0}
TERMS = MetricDefinitions(10**9, None, {"new": "classification", "price": "regression"}, COSTS)
SIZE = 3_000


def counted(
    comparisons: list[Any], outcomes: list[Any], trial: str = TRIAL, running: RunningTotals | None = None
) -> Totals:
    """Folded in slices, the totals taken through JSON once on the way."""
    running, totals = running or RunningTotals(TERMS, 3), Totals()
    for topic, records in (("comparisons", comparisons), ("outcomes", outcomes)):
        for start in range(0, len(records), 700):
            values: list[bytes | None] = [orjson.dumps(record) for record in records[start : start + 700]]
            none = list(range(len(values)))
            folded = fold(RecordBatch(topic, 0, [b"k"] * len(values), values, none, none), running.vocabulary_of, TERMS)
            assert not folded.rejected
            totals += folded.totals[Key(trial)]
            totals = Totals.from_record(orjson.loads(orjson.dumps(totals.to_record())))
    return totals


class Stream:
    """Binary answers of two models, the shadow a little worse; four in five have a label."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.chance = {"live": np.clip(rng.beta(0.8, 2.0, SIZE), 0.001, 0.999)}
        self.chance["shadow"] = np.clip(self.chance["live"] + rng.normal(0.03, 0.1, SIZE), 0.001, 0.999)
        self.label = (rng.random(SIZE) < self.chance["live"]).astype(int)
        self.answer = {side: (chance > 0.4).astype(int) for side, chance in self.chance.items()}
        self.latency = {"live": rng.gamma(2.0, 3.0, SIZE), "shadow": rng.gamma(2.0, 4.0, SIZE)}
        self.lacks = rng.random(SIZE) < 0.1
        self.labelled = rng.random(SIZE) < 0.8

    def side(self, side: str, row: int) -> dict[str, Any]:
        chance = float(self.chance[side][row])
        return {"prediction": int(self.answer[side][row]), "scores": [1 - chance, chance]}

    def comparison(self, row: int) -> dict[str, Any]:
        more = {
            side: {"latency_ms": float(self.latency[side][row]), "error": None, "timed": "model"}
            for side in self.chance
        }
        return {
            "timestamp_ms": row,
            "trial": TRIAL,
            "status": "compared",
            **{side: {**self.side(side, row), **more[side]} for side in self.chance},
            "agree": bool(self.answer["live"][row] == self.answer["shadow"][row]),
            "distance": 0.0,
            "missing_features": ["age", "income"] if self.lacks[row] and row % 2 else ["age"] * int(self.lacks[row]),
        }

    def outcome(self, row: int, label: int | None = None, *, retracts: bool = False) -> dict[str, Any]:
        truth = int(self.label[row]) if label is None else label
        losses = {side: float(self.answer[side][row] != truth) for side in self.chance}
        return {
            "timestamp_ms": row,
            "trial": TRIAL,
            "label": truth,
            **{f"{side}_correct": not loss for side, loss in losses.items()},
            **{f"{side}_loss": loss for side, loss in losses.items()},
            "agree": bool(self.answer["live"][row] == self.answer["shadow"][row]),
            **{side: self.side(side, row) for side in self.chance},
            "retracts": retracts,
        }


@pytest.mark.parametrize(
    ("live", "shadow", "alike"),
    [
        ("model", "model", True),
        ("call", "call", True),
        ("exchange", "model", False),
        ("call", "model", False),
        (None, "model", False),
        (None, None, False),
        ("stopwatch", "stopwatch", False),
    ],
)
def test_latencies_are_held_against_each_other_where_both_timed_the_same(
    stream: Stream, live: str | None, shadow: str | None, alike: bool
) -> None:
    rows = [stream.comparison(row) for row in range(50)]
    for row in rows:
        row["live"]["timed"], row["shadow"]["timed"] = live, shadow
    rows[0]["live"].pop("timed")  # as an older writer's
    summary = summarize(counted(rows, []), SummaryOptions(0.05, COSTS))
    assert summary["latency_difference_ms"]["n"] == (49 if alike else 0)
    assert summary["live_latency_ms"]["n"] == summary["shadow_latency_ms"]["n"] == 50
    assert summary["live_latency_ms"]["timed"] is None
    whole = summarize(counted(rows[1:], []), SummaryOptions(0.05, COSTS))
    assert whole["live_latency_ms"]["timed"] == (live if live in TIMED else None)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream()


@pytest.fixture(scope="module")
def summary(stream: Stream) -> dict[str, Any]:
    outcomes = [stream.outcome(row) for row in np.flatnonzero(stream.labelled).tolist()]
    totals = counted([stream.comparison(row) for row in range(SIZE)], outcomes)
    return summarize(totals, SummaryOptions(0.05, COSTS))


def test_what_both_answer_is_what_scikit_learn_and_numpy_count(stream: Stream, summary: dict[str, Any]) -> None:
    live, shadow = stream.answer["live"], stream.answer["shadow"]
    assert summary["confusion"] == {
        "classes": ["0", "1"],
        "counts": confusion_matrix(live, shadow).tolist(),
        "n": SIZE,
    }
    shares = {"live": np.bincount(live) / SIZE, "shadow": np.bincount(shadow) / SIZE}
    found = summary["predictions"]
    assert found["live"] == pytest.approx(shares["live"].tolist())
    psi = ((shares["shadow"] - shares["live"]) * np.log(shares["shadow"] / shares["live"])).sum()
    middle = (shares["live"] + shares["shadow"]) / 2
    js = sum((share * np.log2(share / middle)).sum() for share in shares.values()) / 2
    assert (found["psi"], found["js"]) == (pytest.approx(psi), pytest.approx(js))
    gaps = stream.latency["shadow"] - stream.latency["live"]
    assert summary["latency_difference_ms"]["value"] == pytest.approx(gaps.mean())
    assert abs((gaps <= summary["latency_difference_ms"]["p95"]).mean() - 0.95) < 0.02
    assert summary["features"]["complete"]["value"] == pytest.approx(1 - stream.lacks.mean())
    odd = stream.lacks & (np.arange(SIZE) % 2 == 1)
    assert summary["features"]["missing"] == {
        "age": {"count": stream.lacks.sum(), "share": pytest.approx(stream.lacks.mean())},
        "income": {"count": odd.sum(), "share": pytest.approx(odd.mean())},
    }


def test_what_rests_on_labels_is_what_scikit_learn_makes_of_it(stream: Stream, summary: dict[str, Any]) -> None:
    rows = stream.labelled
    label = stream.label[rows]
    for side in ("live", "shadow"):
        chance, answer = stream.chance[side][rows], stream.answer[side][rows]
        assert summary["log_loss"][side] == pytest.approx(log_loss(label, chance))
        assert summary["brier"][side] == pytest.approx(brier_score_loss(label, chance))
        assert summary["auc"][side] == pytest.approx(roc_auc_score(label, chance), abs=1e-3)
        assert summary["auc"]["slack"][side] < 0.01
        assert summary["f1"][side] == pytest.approx(f1_score(label, answer))
        assert summary["truth"][side] == confusion_matrix(label, answer).tolist()
        bins = np.minimum((chance * 10).astype(int), 9)
        gaps = [abs((label[bins == at] - chance[bins == at]).sum()) for at in range(10)]
        assert summary["calibration"][side]["error"] == pytest.approx(sum(gaps) / label.size, abs=1e-5)
    assert summary["brier"]["low"] < summary["brier"]["difference"] < summary["brier"]["high"]
    coverage = summary["coverage"]
    assert coverage["value"] == pytest.approx(rows.mean())
    for one in (0, 1):
        wanted = rows[stream.answer["live"] == one].mean()
        assert coverage["by_live_prediction"][str(one)]["value"] == pytest.approx(wanted)


def test_value_is_what_the_decisions_cost_and_flips_say_which(stream: Stream, summary: dict[str, Any]) -> None:
    rows = np.flatnonzero(stream.labelled).tolist()
    worth = {
        side: [-COSTS.get((str(stream.label[row]), str(stream.answer[side][row])), 0.0) for row in rows]
        for side in ("live", "shadow")
    }
    value = summary["value"]
    assert value["live"] == pytest.approx(np.mean(worth["live"]))
    assert value["shadow"] == pytest.approx(np.mean(worth["shadow"]))
    assert value["total"] == pytest.approx(sum(worth["shadow"]) - sum(worth["live"]))
    assert value["low"] < value["value"] < value["high"]
    assert sum(flip["total"] for flip in value["flips"]) == pytest.approx(value["total"])
    assert {flip["each"] for flip in value["flips"]} <= {12.0, -12.0, 3.0, -3.0}


def test_a_stream_with_corrections_ends_where_the_final_labels_alone_end(stream: Stream) -> None:
    rng, comparisons, rows = np.random.default_rng(3), [stream.comparison(row) for row in range(400)], range(400)
    final = [stream.outcome(row) for row in rows]
    corrected: list[Any] = []
    for row in rows:
        if rng.random() < 0.3:
            wrong = 1 - int(stream.label[row])
            corrected += [stream.outcome(row, wrong), stream.outcome(row, wrong, retracts=True)]
        corrected.append(stream.outcome(row))
    plain, mended = counted(comparisons, final), counted(comparisons, corrected)
    assert mended.counts.tolist() == plain.counts.tolist()
    for name in ("live_truth", "shadow_truth", "flips", "live_scores", "shadow_scores"):
        assert getattr(mended.detailed, name) == getattr(plain.detailed, name), name
    one, other = (summarize(totals, SummaryOptions(0.05, COSTS)) for totals in (mended, plain))
    assert one["auc"] == other["auc"]
    for name in ("log_loss", "brier", "accuracy", "loss_difference"):
        assert one[name] == pytest.approx(other[name]), name
    flips = [[{**flip} for flip in found["value"].pop("flips")] for found in (one, other)]
    assert flips[0] == flips[1]
    assert one["value"] == pytest.approx(other["value"])


def test_a_label_that_is_only_taken_back_leaves_nothing(stream: Stream) -> None:
    totals = counted([], [stream.outcome(7), stream.outcome(7, retracts=True)])
    summary = summarize(totals, SummaryOptions(0.05, COSTS))
    assert (summary["labels"], summary["truth"], summary["log_loss"]["n"]) == (0, None, 0)
    assert summary["value"]["value"] is None


def test_more_classes_than_are_kept_count_as_other_whatever_the_order_of_merging() -> None:
    def comparison(live: object, shadow: object) -> dict[str, Any]:
        side = {"scores": None, "latency_ms": None, "error": None}
        both = {"live": {**side, "prediction": live}, "shadow": {**side, "prediction": shadow}}
        row = {"timestamp_ms": 1, "trial": TRIAL, "status": "compared", "agree": live == shadow, "distance": 0.0}
        return {**row, **both}

    one = counted([comparison(f"a{number}", f"a{number}") for number in range(30)], [])
    other = counted([comparison(f"b{number}", "a0") for number in range(30)], [])
    assert (one + other).detailed.confusion == (other + one).detailed.confusion
    shown = summarize(one + other, SummaryOptions(None))["confusion"]
    assert (len(shown["classes"]), shown["classes"][-1]) == (21, "(other)")
    assert sum(map(sum, shown["counts"])) == shown["n"] == 60


def test_numbers_have_their_errors_and_how_far_they_moved() -> None:
    rng, trial = np.random.default_rng(5), "live@1~price@1"
    truth = rng.normal(0, 10, 1_000)
    answers = {"live": truth + rng.normal(0, 1, 1_000), "shadow": truth + rng.normal(0.5, 2, 1_000)}
    comparisons, outcomes = [], []
    for row in range(1_000):
        sides = {side: {"prediction": float(answer[row]), "scores": None} for side, answer in answers.items()}
        timed = {side: {**answer, "latency_ms": None, "error": None} for side, answer in sides.items()}
        head = {"timestamp_ms": row, "trial": trial, "agree": False}
        comparisons.append({**head, "status": "compared", "distance": 1.0, **timed})
        losses = {f"{side}_loss": float(abs(answer[row] - truth[row])) for side, answer in answers.items()}
        right = {"live_correct": False, "shadow_correct": False}
        outcomes.append({**head, "label": float(truth[row]), **right, **losses, **sides})
    summary = summarize(counted(comparisons, outcomes, trial), SummaryOptions(0.05))
    for side, answer in answers.items():
        assert summary["mae"][side] == pytest.approx(np.abs(answer - truth).mean())
        assert summary["rmse"][side] == pytest.approx(np.sqrt(((answer - truth) ** 2).mean()))
    found = summary["predictions"]
    cut = np.searchsorted(np.array(found["edges"], np.float32), answers["shadow"].astype(np.float32))
    assert found["shadow"] == pytest.approx((np.bincount(cut, minlength=10) / 1_000).tolist(), abs=0.03)
    assert summary["confusion"] is None


def test_a_worker_counts_once_however_many_partitions_it_has() -> None:
    model = {"rows": 1_000, "cpu_s": 2.0, "resident_bytes": 5, "restarts": 1, "deaths": {"crash": 1}, "circuit": "open"}
    older = {"worker": "a", "timestamp_ms": 1, "model": {**model, "rows": 10}, "lag": 3}
    newer = {"worker": "a", "timestamp_ms": 2, "model": model, "lag": 4}
    found = resources({0: newer, 1: older, 2: {"worker": "b", "timestamp_ms": 1, "model": model, "lag": 0}})
    assert (found["workers"], found["rows"], found["cpu_ms_per_row"], found["lag"]) == (2, 2_000, 2.0, 7)
    assert (found["resident_bytes"], found["deaths"], found["circuit_open"]) == (10, {"crash": 2}, 2)
    assert resources({}) == {}


def test_what_a_models_process_cannot_do_is_told_in_sentences() -> None:
    ways = {"detours": {"batch": 1_200, "alone": 0, "matrix": "x"}, "given_up": "one row at a time: no room"}
    bad = {**ways, "network": "not isolated: no namespaces", "network_missed": 3}
    fine = {"detours": {"batch": 0}, "given_up": None, "network": "off", "network_missed": 0}
    found = resources({0: {"worker": "a", "model": bad}, 1: {"worker": "b", "model": fine}})
    assert (found["detours"], found["network_missed"]) == ({"batch": 1_200}, 3)
    health = told({"resources": found})
    assert health is not None
    assert health.remarks == (
        "The model costs more than it has to: one row at a time: no room.",
        "A quicker way to the same answers failed 1,200 times (batch 1,200): docs/operations.md says what each is.",
    )
    assert health.network.startswith("The model tried 3 times to reach a network, and has none")
    (one,) = _trials({b"a~b@1|all|all": encode(Aggregate("a~b@1", "all", "all", {}, {"resources": found}, {}, 1))})
    assert list(one.remarks) == [*health.remarks, health.network]
    quiet = told({"resources": resources({0: {"worker": "b", "model": fine}})})
    assert quiet is not None
    assert (quiet.remarks, quiet.network) == ((), "")
