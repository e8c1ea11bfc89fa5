"""What a model was trained on is no evidence of how good it is, and all the evidence there is of how it fails."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import skops.io
from sklearn.tree import DecisionTreeClassifier

from judge_log import Log, comparison, label
from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.vocabulary import Vocabulary
from shadowbus.cli.program import run
from shadowbus.cutoff import Cutoff, sentence
from shadowbus.decide.decision import verdict_of
from shadowbus.decide.evidence import evidence_of
from shadowbus.errors import BundleError, SettingsError
from shadowbus.judge.dictionary import FieldDictionary, SharedFields
from shadowbus.labelling.candidate import candidates_of
from shadowbus.models.bundle import read_bundle
from shadowbus.models.configured import with_live
from shadowbus.models.make import write_bundle
from shadowbus.models.manifest import Manifest
from shadowbus.models.trained_until import trained_until
from shadowbus.records import Comparison, Outcome, decode
from shadowbus.replay.enrich import TrainedOn
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.settings import GateSettings, load_settings
from shadowbus.slices.row import rows_of
from shadowbus.stage import RecordBatch
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import Key
from shadowbus.totals.totals import Totals
from shadowbus.verdict.counts import Counts, Evidence, Learned
from shadowbus.verdict.gate import decide
from shadowbus.verdict.learned import LEVEL, suspicious

WEEK, T0, STEP = 1_200, 1_750_000_000_000, 1_000
LEARNED = T0 + WEEK * STEP
"""The time of the first request after the week that was learned by heart."""


def shadowbus(*arguments: str) -> int:
    """The exit code."""
    try:
        return run([*arguments])
    except SystemExit as left:
        return int(left.code or 0)


class Trial:
    """A tree that knows one week by heart, a week that it knows, and one that it does not; labels are noisy."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(4)
        self.folder, self.rows = folder, rng.normal(size=(2 * WEEK, 3)).round(4)
        self.truth = ((self.rows[:, 0] > 0) ^ (rng.random(2 * WEEK) < 0.2)).astype(int)
        tree = DecisionTreeClassifier(random_state=0).fit(self.rows[:WEEK], self.truth[:WEEK])
        skops.io.dump(tree, folder / "model.skops")
        self.features: list[list[object]] = self.rows.tolist()

    def bundle(self, **said: Any) -> Path:
        out = self.folder / "bundle"
        told = {"now_ms": LEARNED, "name": "tree", "version": "1", "features": None, **said}
        write_bundle(self.folder / "model.skops", out=out, **told)
        return out

    def backtest(self, gate: str, *flags: str, requests: int = 2 * WEEK) -> dict[str, Any]:
        """The verdict on so many of the requests."""
        config = self.folder / "shadow.toml"
        config.write_text(
            f'namespace = "t"\n[gate]\nmin_requests = 100\n{gate}\n[kafka]\n"bootstrap.servers" = "nowhere:1"\n'
            f'[[shadow]]\nname = "tree"\nmodel = "{self.folder / "bundle"}"\ntimeout_ms = 2000\n'
        )
        names = {topic: self.folder / f"{topic}.jsonl" for topic in ("requests", "predictions", "labels")}
        lines: dict[str, list[str]] = {topic: [] for topic in names}
        for number in range(requests):
            known = {"v": 1, "request_id": f"r{number}", "timestamp_ms": T0 + number * STEP}
            half = {"segments": {"half": number % 2}}
            live = {"model": "live@1", "prediction": int(self.rows[number, 0] > 0), "latency_ms": 1.0}
            lines["requests"].append(json.dumps({**known, "features": self.features[number], **half}))
            lines["predictions"].append(json.dumps({**known, **live}))
            lines["labels"].append(json.dumps({**known, "label": int(self.truth[number])}))
        for topic, path in names.items():
            path.write_text("\n".join(lines[topic]) + "\n")
        files = [part for topic, path in names.items() for part in (f"--{topic}", str(path))]
        out = self.folder / "out"
        asked = ["--config", str(config), "backtest", "--shadow", "tree", *files, "--out", str(out), "--no-report"]
        assert shadowbus(*asked, "--force", *flags) == 0
        found: dict[str, Any] = json.loads((out / "verdicts.jsonl").read_text())
        return found

    def records(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "out" / f"{topic}.jsonl").read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.stage.close()


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def criterion(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in verdict["criteria"] if one["name"] == name)
    return found


ACCURACY = "accuracy_margin = 0.02\nguard_segments = false"


def test_the_week_that_a_model_knows_by_heart_does_not_promote_it(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    trial.bundle()
    found = trial.backtest(ACCURACY, requests=WEEK)
    assert (found["verdict"], found["requests"], found["labels"]) == ("KEEP_WATCHING", WEEK, 0)
    before = {"requests_before": WEEK, "labels_before": WEEK}
    assert found["training"] == {"until_ms": LEARNED, "from": "bundled", **before}
    assert criterion(found, "accuracy")["value"] is None
    told = " ".join(capsys.readouterr().out.split())
    assert "There are no labels from after its training" in told
    assert "--trained-until TIME" in told


def test_nor_does_it_by_agreement(trial: Trial) -> None:
    trial.bundle()
    found = trial.backtest("min_agreement = 0.5", requests=WEEK)
    asked = criterion(found, "agreement")
    assert (found["verdict"], asked["value"]) == ("KEEP_WATCHING", None)
    assert asked["note"] == "There are no requests from after its training."


def test_it_is_judged_by_what_came_after(trial: Trial) -> None:
    trial.bundle()
    found = trial.backtest(ACCURACY)
    assert found["verdict"] == "SEND_BACK"
    after = [one for one in trial.records("outcomes") if int(one["request_id"][1:]) >= WEEK]
    assert len(after) == WEEK
    difference = sum(one["shadow_correct"] - one["live_correct"] for one in after) / len(after)
    assert criterion(found, "accuracy")["value"] == pytest.approx(difference)
    assert found["labels"] == WEEK
    (whole,) = [one for one in trial.records("aggregates") if (one["segment"], one["window"]) == ("all", "all")]
    agreed = sum(one["agree"] for one in trial.records("comparisons") if int(one["request_id"][1:]) >= WEEK)
    assert whole["totals"]["agreed"] == agreed
    assert whole["summary"]["trained_on"] == {"requests": WEEK, "labels": WEEK}
    (half,) = [one for one in trial.records("aggregates") if (one["segment"], one["window"]) == ("half=1", "all")]
    assert half["summary"]["trained_on"] == {"requests": WEEK // 2, "labels": WEEK // 2}
    assert half["summary"]["accuracy"]["n"] == WEEK // 2


def test_the_records_say_which_they_are(trial: Trial) -> None:
    trial.bundle()
    trial.backtest(ACCURACY)
    for topic in ("comparisons", "outcomes"):
        marked = {one["request_id"]: one.get("trained_on", False) for one in trial.records(topic)}
        assert marked == {f"r{number}": number < WEEK for number in range(2 * WEEK)}


@pytest.mark.parametrize("until", ["none", str(T0), "2025-06-15T15:06:40Z", "2025-06-15 17:06:40+02:00"])
def test_whoever_runs_it_may_say_otherwise(trial: Trial, until: str) -> None:
    trial.bundle()
    found = trial.backtest(ACCURACY, "--trained-until", until, requests=WEEK)
    assert (found["verdict"], found["labels"]) == ("PROMOTE", WEEK)


def test_so_may_whoever_bundles_it(trial: Trial) -> None:
    out = trial.bundle(now_ms=LEARNED + 10**9, trained_until_ms=LEARNED)
    assert read_bundle(out).manifest.cutoff == Cutoff(LEARNED, "flag")
    found = trial.backtest(ACCURACY)
    assert (found["verdict"], found["labels"]) == ("SEND_BACK", WEEK)
    assert (found["training"]["until_ms"], found["training"]["from"]) == (LEARNED, "flag")


def test_failures_before_the_cut_off_send_it_back(trial: Trial) -> None:
    trial.bundle()
    for number in range(0, WEEK, 10):
        trial.features[number] = ["no number", 0.0, 0.0]
    found = trial.backtest("max_error_rate = 0.01", requests=WEEK)
    assert (found["verdict"], criterion(found, "error_rate")["value"]) == ("SEND_BACK", 0.1)


def test_and_none_of_them_promotes_it_where_nothing_else_is_asked(trial: Trial) -> None:
    trial.bundle()
    assert trial.backtest("max_error_rate = 0.01", requests=WEEK)["verdict"] == "PROMOTE"


@pytest.mark.parametrize("said", [(), ("--trained-until", str(LEARNED))], ids=["unknown", "told"])
def test_answers_that_were_recorded_have_the_cut_off_that_is_told(trial: Trial, said: tuple[str, ...]) -> None:
    trial.bundle()
    trial.backtest(ACCURACY, requests=WEEK)
    answers = trial.folder / "answers.jsonl"
    with answers.open("w") as lines:
        for one in trial.records("comparisons"):
            line = {name: one[name] for name in ("v", "request_id", "timestamp_ms")}
            lines.write(json.dumps({**line, "model": "tree@1", "prediction": one["shadow"]["prediction"]}) + "\n")
    found = trial.backtest(ACCURACY, "--shadow-predictions", str(answers), *said, requests=WEEK)
    expected = ("KEEP_WATCHING", 0) if said else ("PROMOTE", WEEK)
    assert (found["verdict"], found["labels"]) == expected


def test_a_time_that_is_none_is_refused_in_a_sentence(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    trial.bundle()
    flags = ["--shadow", "tree", "--requests", "r", "--predictions", "p", "--out", "o", "--trained-until", "soon"]
    config = trial.folder / "shadow.toml"
    config.write_text('namespace = "t"\n[[shadow]]\nname = "tree"\nmodel = "bundle"\n')
    assert shadowbus("--config", str(config), "backtest", *flags) == 1
    assert "'soon' is no time: write it as 2026-11-30T12:00:00Z" in " ".join(capsys.readouterr().err.split())


# The bundle.


def test_the_same_bundle_later_keeps_its_cut_off_and_another_one_is_refused(trial: Trial) -> None:
    trial.bundle(trained_until_ms=5)
    assert read_bundle(trial.bundle(now_ms=LEARNED + 7)).manifest.cutoff == Cutoff(5, "flag")
    trial.bundle(trained_until_ms=5)
    with pytest.raises(BundleError, match="already holds another bundle"):
        trial.bundle(trained_until_ms=6)


def test_a_manifest_of_an_earlier_release_was_trained_until_it_was_made(trial: Trial) -> None:
    out = trial.bundle(trained_until_ms=5)
    kept = orjson.loads((out / "manifest.json").read_bytes())
    older = {name: value for name, value in kept.items() if not name.startswith("trained_until")}
    assert Manifest.decode(orjson.dumps(older), out).cutoff == Cutoff(LEARNED, "bundled", LEARNED)
    for wrong in ({"trained_until_ms": "2026"}, {"trained_until_ms": -1}, {"trained_until_from": "hearsay"}):
        with pytest.raises(BundleError, match="trained_until"):
            Manifest.decode(orjson.dumps({**kept, **wrong}), out)


# Where nobody says it.


def zipped(*moments: tuple[int, ...]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, at in enumerate(moments):
            archive.writestr(zipfile.ZipInfo(str(number), at), b"")  # type: ignore[arg-type]
    return made.getvalue()


NOW = 1_796_000_000_000  # 2026-11-29 23:33 UTC
SPOKEN = 1_750_000_000_000  # 2025-06-15 15:06:40 UTC
MLMODEL = "flavors: {}\nrun_id: abc\nutc_time_created: '2025-06-15 15:06:40.000000'\n"


@pytest.mark.parametrize(
    ("data", "files", "until_ms", "source"),
    [
        (zipped((2025, 6, 15, 3, 6, 38), (2025, 6, 14, 0, 0, 0)), {}, SPOKEN, "file"),
        (zipped((1980, 1, 1, 0, 0, 0)), {}, NOW, "bundled"),
        (zipped((2030, 1, 1, 0, 0, 0)), {}, NOW, "bundled"),
        (zipped((2026, 11, 29, 23, 0, 0)), {}, NOW, "bundled"),  # today, in whatever zone
        (zipped(), {}, NOW, "bundled"),
        (b"PK no zip", {}, NOW, "bundled"),
        (b"", {"model/MLmodel": MLMODEL}, SPOKEN, "mlflow"),
        (zipped((2025, 1, 1, 0, 0, 0)), {"model/MLmodel": MLMODEL}, SPOKEN, "mlflow"),
        (b"", {"model/MLmodel": MLMODEL, "meta.yaml": "end_time: 1750000009000\n"}, SPOKEN + 9_000, "mlflow"),
        (b"", {"model/MLmodel": MLMODEL, "meta.yaml": "end_time: null\n"}, SPOKEN, "mlflow"),
        (b"", {"model/MLmodel": "utc_time_created: '1999-01-01 00:00:00'\n"}, NOW, "bundled"),
        (b"", {"model/MLmodel": "utc_time_created: 'yesterday'\n"}, NOW, "bundled"),
        (b"", {"other/MLmodel": MLMODEL}, NOW, "bundled"),
    ],
)
def test_what_lies_around_the_file_says_when_training_was_over_if_it_can_be_so(
    tmp_path: Path, data: bytes, files: dict[str, str], until_ms: int, source: str
) -> None:
    for name, text in {"model/model.skops": "", **files}.items():
        path = tmp_path / "run" / ("meta.yaml" if name == "meta.yaml" else f"artifacts/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = trained_until(tmp_path / "run/artifacts/model/model.skops", data, NOW)
    assert (found.until_ms, found.source, found.bundled_ms) == (until_ms, source, NOW)


def test_the_manifest_says_where_it_has_it_from(trial: Trial) -> None:
    (trial.folder / "MLmodel").write_text(MLMODEL)
    made = read_bundle(trial.bundle(now_ms=SPOKEN + 10**9))
    told = orjson.loads((made.folder / "manifest.json").read_bytes())
    assert (told["trained_until_ms"], told["trained_until_from"]) == (SPOKEN, "mlflow")
    assert made.manifest.cutoff == Cutoff(SPOKEN, "mlflow", SPOKEN + 10**9)


def test_what_is_known_of_the_live_model_is_said_too(trial: Trial) -> None:
    trial.bundle(trained_until_ms=T0)
    config = trial.folder / "live.toml"
    known = f'namespace = "t"\nlive_trained_until = "{LEARNED}"\n[[shadow]]\nname = "tree"\nmodel = "bundle"\n'
    config.write_text(known)
    bundles = Cutoff(T0, "flag"), Cutoff(LEARNED + 5, "bundled", LEARNED + 5), None
    found = [with_live(one, load_settings(config)) for one in bundles]
    assert found == [Cutoff(LEARNED, "live"), bundles[1], Cutoff(LEARNED, "live")]
    config.write_text(known.replace(f'live_trained_until = "{LEARNED}"\n', "") + "control = true\n")
    assert with_live(None, load_settings(config)) == Cutoff(T0, "live")
    config.write_text(known.replace(str(LEARNED), "soon"))
    with pytest.raises(SettingsError, match=r"live_trained_until.*is no time"):
        load_settings(config)
    told = {"until_ms": LEARNED, "from": "live", "requests_before": 4, "labels_before": 3}
    assert "from before the live model's training ended" in sentence(told, 9, 8)


# Suspicion.


def counted(**marks: Any) -> Any:
    """The evidence of outcomes: before the bundle 990 of 1,000 right, after it 780 of 1,000; the live model 800."""
    values = []
    for number in range(2_000):
        before = number < 1_000
        right = {"live_correct": number % 5 > 0, "shadow_correct": number % 100 > 0 if before else number % 50 > 10}
        nothing = dict.fromkeys(("live_loss", "shadow_loss"))
        known = {"trial": "live@1~s@1", "timestamp_ms": 1, **right, **nothing, "agree": None}
        values.append(orjson.dumps({**known, **(marks if before else {})}))
    none = [0] * len(values)
    terms = MetricDefinitions(1_000)
    known_of = Vocabulary.of("live@1~s@1", terms)
    piece = RecordBatch("outcomes", 0, [b"r"] * len(values), [*values], none, [*range(len(values))])
    totals = fold(piece, lambda _: known_of, terms).totals[Key("live@1~s@1")]
    assert Totals.from_record(orjson.loads(orjson.dumps(totals.to_record()))) == totals
    return evidence_of("live@1~s@1", {"all": totals}, {})


GATE = GateSettings(min_requests=0, accuracy_margin=0.2)


def test_what_is_right_before_the_bundle_and_wrong_after_it_holds_promote_back() -> None:
    evidence = replace(counted(before_bundle=True), cutoff=Cutoff(5, "file", 9))
    assert evidence.learned == Learned(1_000, 990, 800, 1_000, 780, 800, 1_000)
    found = decide(evidence, GATE)
    (held,) = [one for one in found.criteria if one.name == "learned"]
    assert (found.verdict, held.state) == ("KEEP_WATCHING", "open")
    said = "It was right in 99.0% of what came before it was bundled and 78.0% after"
    assert held.note.startswith(said)
    assert "It has to be known first until when it was trained." in found.needed.note
    record = verdict_of(evidence, GATE, {}, 1)
    assert record.training["suspicious"] == 1_000
    told = sentence(record.training, record.requests, record.labels)
    assert "It was right in 99.0 % of what came before it was bundled and 78.0 % after" in told
    assert "PROMOTE waits; give --trained-until TIME." in told


def test_where_such_labels_do_not_count_it_is_only_said() -> None:
    evidence = replace(counted(trained_on=True), cutoff=Cutoff(9, "bundled", 9))
    assert evidence.learned == Learned(1_000, 990, 800, 1_000, 780, 800, 0)
    found = decide(evidence, GATE)
    assert (found.verdict, [one.name for one in found.criteria if one.name == "learned"]) == ("PROMOTE", [])
    record = verdict_of(evidence, GATE, {}, 1)
    assert "which do not count. If not, give --trained-until" in sentence(record.training, 2_000, 1_000)


@pytest.mark.parametrize(
    ("seen", "cutoff"),
    [
        (Learned(1_000, 990, 800, 1_000, 780, 800, 1_000), Cutoff(5, "flag")),  # somebody said so
        (Learned(1_000, 800, 800, 1_000, 780, 790, 1_000), None),
        (Learned(1_000, 990, 980, 1_000, 780, 790, 1_000), None),  # the traffic changed for both
        (Learned(30, 30, 24, 30, 25, 24, 30), None),  # too few to know
        (Learned(1_000, 990, 800, 0, 0, 0, 1_000), None),
    ],
)
def test_what_is_no_sign_of_it(seen: Learned, cutoff: Cutoff | None) -> None:
    evidence = Evidence("live@1~s@1", Counts(), {}, learned=seen, cutoff=cutoff)
    assert not suspicious(evidence)


def test_at_no_look_does_it_suspect_an_honest_model_more_often_than_it_says() -> None:
    rng, looks, wrong = np.random.default_rng(8), [50, 100, 200, 400, 800, 1_600], 0
    for _ in range(400):
        before, after = (np.cumsum(rng.random(1_600) < 0.8) for _ in range(2))
        seen = [Learned(n, int(before[n - 1]), n // 2, n, int(after[n - 1]), n // 2, n) for n in looks]
        wrong += any(suspicious(Evidence("live@1~s@1", Counts(), {}, learned=one)) for one in seen)
    assert wrong / 400 <= LEVEL


# The mark on its way.


def test_marks_are_right_at_the_cut_off_whatever_the_id() -> None:
    ids = ["a", ',"timestamp_ms":9', '","timestamp_ms":9,"', "é\\"]
    tails = [
        orjson.dumps({"request_id": one, "timestamp_ms": at, "segments": {}, "missing_features": []})[1:]
        for one in ids
        for at in (99, 100, 101)
    ]
    found = [orjson.loads(b"{" + tail) for tail in TrainedOn(Cutoff(100, "file", 101)).enrich(tails, JoinedRows())]
    assert [one.get("trained_on", False) for one in found] == [True, False, False] * len(ids)
    assert [one.get("before_bundle", False) for one in found] == [False, True, False] * len(ids)
    assert [one["request_id"] for one in found] == [one for one in ids for _ in range(3)]


def test_the_judge_keeps_the_mark_over_a_restart_and_takes_it_back_with_a_label(log: Log) -> None:
    log.send([comparison(1, trained_on=True), comparison(2, before_bundle=True), label(1, "yes"), label(2, "yes")])
    log.step("comparisons", 2)
    log.restart()
    log.step("labels", 2)
    log.send([label(1, "no")])
    log.step("labels", 1)
    found = [decode(Outcome, value) for value in log.outcomes]
    marks = [(one.request_id[-1], one.trained_on, one.retracts) for one in found]
    assert sorted(marks) == [("1", True, False), ("1", True, False), ("1", True, True), ("2", False, False)]
    assert [b"trained_on" in value for value in log.outcomes].count(True) == 3
    assert [one.before_bundle for one in found].count(True) == 1


def test_frames_that_were_kept_before_there_was_a_mark_are_read() -> None:
    frame = SharedFields("champion@3~challenger@4", b"{}", None, None, 1.0)
    assert frame.to_bytes() == b'["champion@3~challenger@4","{}",null,null,1.0]'
    marked, early, frames = frame._replace(trained_on=True), frame._replace(before_bundle=True), FieldDictionary()
    assert [frames.restore(one.to_bytes()) for one in (frame, marked, early)] == [0, 1, 2]
    assert [frames.fields_of(number) for number in (0, 1, 2)] == [frame, marked, early]
    assert frames.number_of(marked) == 1


def test_a_comparison_without_the_mark_is_not_marked() -> None:
    plain = {"request_id": "r", "timestamp_ms": 1, "trial": "a~b@1", "status": "live_missing", "live": None}
    assert not decode(Comparison, orjson.dumps({**plain, "shadow": None, "agree": None, "distance": None})).trained_on


# Who reads the records besides.


def recorded(number: int, **more: object) -> bytes:
    answer = {"model": "m@1", "prediction": number % 2}
    known = {"request_id": f"r{number}", "timestamp_ms": number, "trial": "live@1~s@1", "status": "compared"}
    return orjson.dumps({**known, "live": answer, "shadow": answer, "agree": True, "segments": {}, **more})


def test_neither_the_search_for_slices_nor_the_label_queue_takes_what_was_trained_on() -> None:
    comparisons = [recorded(number, **({"trained_on": True} if number < 4 else {})) for number in range(10)]
    judged = {"trial": "live@1~s@1", "live_correct": True, "shadow_correct": True}
    outcomes = [orjson.dumps({"request_id": f"r{number}", **judged}) for number in range(10)]
    assert len(rows_of(comparisons, [], "s", "disagreement").rows) == 6
    harm = rows_of(comparisons, outcomes, "s", "harm")
    assert (len(harm.rows), harm.unmet) == (6, 0)
    assert [one.request_id for one in candidates_of(comparisons, [], "s").found] == [f"r{n}" for n in range(4, 10)]
