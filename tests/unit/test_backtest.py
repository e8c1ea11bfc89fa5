"""`shadowbus backtest` over small files, against plain loops over the same rows."""

import csv
import gzip
import json
import os
import re
import shlex
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hostile import record, variants
from shadowbus.backtest.recorded_model import RecordedModel
from shadowbus.cli.program import run
from traffic import make_bundle, prediction, request

ROWS = 400
T0 = 1_700_000_000_000
MAPPING = """
[backtest]
request_id = "id"
timestamp = "at"
features = ["x", "y"]
segments = ["country"]
model = "live@3"
prediction = "answer"
scores = ["p_no", "p_yes"]
classes = ["no", "yes"]
latency = "ms"
label = "truth"
label_timestamp = "known_at"
shadow_model = "new@4"
shadow_prediction = "said"
"""


def rows() -> list[dict[str, Any]]:
    """One log with everything in it; every seventh row was never labelled."""
    made = []
    for number in range(ROWS):
        live, shadow, truth = (number % modulus < 2 for modulus in (3, 4, 5))
        made.append(
            {
                "id": f"r{number:04d}",
                "at": T0 + number * 1000,
                "x": number / 7,
                "y": number,
                "country": ("DE", "FR")[number % 2],
                "answer": ("no", "yes")[live],
                "p_no": 0.25 + 0.5 * (not live),
                "p_yes": 0.25 + 0.5 * live,
                "ms": 1.5,
                "truth": None if number % 7 == 0 else ("no", "yes")[truth],
                "known_at": T0 + number * 1000 + 3_600_000,
                "said": ("no", "yes")[shadow],
            }
        )
    return made


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, list(rows()[0]))
        table.writeheader()
        table.writerows(rows())


def write_semicolons(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, list(rows()[0]), delimiter=";")
        table.writeheader()
        table.writerows(rows())


def write_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows()), encoding="utf-8")


def write_gzip(path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows())


def write_zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as packed:
        packed.write("".join(json.dumps(row) + "\n" for row in rows()).encode())


def write_parquet(path: Path) -> None:
    table = pa.Table.from_pylist(rows())
    for name in ("at", "known_at"):
        times = table[name].cast(pa.timestamp("ms", tz="UTC"))
        table = table.set_column(table.schema.get_field_index(name), name, times)
    parquet.write_table(table, path)


FORMATS: dict[str, Callable[[Path], None]] = {
    "log.csv": write_csv,
    "semicolons.csv": write_semicolons,
    "log.jsonl": write_json_lines,
    "log.jsonl.gz": write_gzip,
    "log.jsonl.zst": write_zstd,
    "log.parquet": write_parquet,
}


def settings(folder: Path, more: str = "") -> None:
    gate = "[gate]\nmin_requests = 100\nmin_agreement = 0.1\naccuracy_margin = 0.2\nguard_segments = true\n"
    (folder / "shadow.toml").write_text(f'namespace = "n"\n{gate}{more}', encoding="utf-8")


def call(folder: Path, *arguments: str) -> int:
    try:
        asked = ["--config", str(folder / "shadow.toml"), "backtest", "--out", str(folder / "out"), "--no-report"]
        return run([*asked, *arguments])
    except SystemExit as left:
        return int(left.code or 0)


def one_file(path: Path, *more: str) -> list[str]:
    """Everything from one file, the shadow's predictions too."""
    return [
        *("--shadow", "new", "--requests", str(path), "--predictions", str(path)),
        *("--shadow-predictions", str(path), *more),
    ]


def written(folder: Path, topic: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{topic}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_what_a_plain_loop_counts(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path, MAPPING)
    path = tmp_path / name
    FORMATS[name](path)
    assert call(tmp_path, *one_file(path, "--labels", str(path), "--json")) == 0
    (verdict,) = written(tmp_path, "verdicts")
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == verdict
    assert verdict["trial"] == "live@3~new@4"
    assert (verdict["requests"], verdict["labels"]) == (ROWS, sum(row["truth"] is not None for row in rows()))
    compared = {one["request_id"]: one for one in written(tmp_path, "comparisons")}
    judged = {one["request_id"]: one for one in written(tmp_path, "outcomes")}
    assert len(compared) == len(written(tmp_path, "comparisons")) == ROWS
    for row in rows():
        one = compared[row["id"]]
        assert (one["status"], one["timestamp_ms"]) == ("compared", row["at"])
        assert one["live"] == {
            "model": "live@3",
            "prediction": row["answer"],
            "latency_ms": 1.5,
            "error": None,
            "scores": {"no": row["p_no"], "yes": row["p_yes"]},
        }
        assert (one["shadow"]["prediction"], one["agree"]) == (row["said"], row["said"] == row["answer"])
        assert one["segments"] == {"country": row["country"]}
        if row["truth"] is None:
            assert row["id"] not in judged
        else:
            outcome = judged[row["id"]]
            assert (outcome["label"], outcome["timestamp_ms"]) == (row["truth"], row["known_at"])
            assert outcome["shadow_correct"] == (row["said"] == row["truth"])
    accuracy = next(one for one in verdict["criteria"] if one["name"] == "accuracy")
    better = [(row["said"] == row["truth"]) - (row["answer"] == row["truth"]) for row in rows() if row["truth"]]
    assert accuracy["value"] == pytest.approx(sum(better) / len(better))
    assert verdict["books"]["closes"]
    assert verdict["books"]["settled"]
    whole = next(one for one in written(tmp_path, "aggregates") if one["segment"] == one["window"] == "all")
    assert whole["totals"]["statuses"] == {"compared": ROWS}
    assert not written(tmp_path, "dead-letters")


def wire(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records in the wire format: halves without the other, errors, duplicates, a corrected label, a broken line."""
    topics: dict[str, list[dict[str, Any]]] = {"requests": [], "predictions": [], "labels": []}
    for number in range(ROWS):
        at_ms = T0 + number * 1000
        key = {"request_id": f"r{number}", "timestamp_ms": at_ms}
        request = {**key, "features": {"x": number}, "segments": {}}
        answer = {**key, "model": "live@1", "prediction": number % 2, "error": "down" if number % 50 == 3 else None}
        if number % 40 != 1:
            topics["requests"].append(request)
        if number % 40 != 2:
            topics["predictions"].append(answer)
        if number % 100 == 5:
            topics["requests"].append(request)
        topics["labels"].append({**key, "label": 1})
        if number % 80 == 7:
            topics["labels"].append({**key, "timestamp_ms": at_ms + 60_000, "label": 0})
    for topic, records in topics.items():
        (folder / f"{topic}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), "utf-8")
    with (folder / "requests.jsonl").open("a") as lines:
        lines.write('{"request_id": "broken"\n{"request_id": "nothing", "timestamp_ms": 5, "features": 7}\n')
    shadow = [{**one, "model": "new@2", "prediction": 1} for one in topics["predictions"]]
    (folder / "new.jsonl").write_text("".join(json.dumps(one) + "\n" for one in shadow[:-10]), "utf-8")
    return topics


def test_whatever_a_record_holds_a_backtest_comes_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    wire(tmp_path)
    at = {
        "requests": '"features": {"x": 1}',
        "predictions": '"model": "live@1", "prediction": 1',
        "labels": '"label": 1',
    }
    for topic, rest in at.items():
        good = {
            "timestamp_ms": str(T0),
            **{part.partition(": ")[0].strip('"'): part.partition(": ")[2] for part in rest.split(", ")},
        }
        with (tmp_path / f"{topic}.jsonl").open("ab") as lines:
            for name, fields in variants(good, huge=False):
                lines.write(record(**{**fields, "request_id": json.dumps(f"odd {name}")}).replace(b"\n", b" ") + b"\n")
    files = [f"--{topic}={tmp_path / topic}.jsonl" for topic in at]
    recorded = ["--shadow-predictions", str(tmp_path / "new.jsonl"), "--max-set-aside", "0.3"]
    assert call(tmp_path, "--shadow", "new", *files, *recorded, "--json") == 0
    books = json.loads(capsys.readouterr().out.splitlines()[-1])["books"]
    assert (books["closes"], books["gap"]) == (True, 0)


def test_every_record_is_accounted_for_whatever_is_wrong_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    wire(tmp_path)
    files = [f"--{topic}={tmp_path / topic}.jsonl" for topic in ("requests", "predictions", "labels")]
    assert call(tmp_path, "--shadow", "new", *files, "--shadow-predictions", str(tmp_path / "new.jsonl")) == 0
    told = capsys.readouterr().err
    statuses = Counter(one["status"] for one in written(tmp_path, "comparisons"))
    lonely_predictions, lonely_requests = ROWS // 40, ROWS // 40
    unanswered = 10  # the last ten of the shadow's predictions are cut off
    assert statuses["request_missing"] == lonely_predictions
    assert statuses["live_missing"] == lonely_requests
    down = sum(number % 50 == 3 for number in range(ROWS) if number % 40 not in (1, 2))
    assert statuses["live_error"] == down
    assert statuses["shadow_unavailable"] == unanswered
    assert statuses.total() == ROWS
    letters = written(tmp_path, "dead-letters")
    assert Counter(letter["reason"] for letter in letters)["duplicate"] == ROWS // 100
    (broken,) = [letter for letter in letters if letter["reason"].startswith("not a record")]
    assert broken["file"] == str(tmp_path / "requests.jsonl")
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert lines[broken["line"] - 1] == '{"request_id": "broken"'
    (shapeless,) = [letter for letter in letters if letter["key"] == "nothing"]
    assert lines[shapeless["line"] - 1].startswith('{"request_id": "nothing"')
    assert f"requests.jsonl: {ROWS // 100 + 2} rows were set aside" in told
    (verdict,) = written(tmp_path, "verdicts")
    assert verdict["books"]["closes"]
    assert verdict["books"]["requests"]["duplicates"] == ROWS // 100
    stand: Counter[tuple[str, int]] = Counter()
    for one in written(tmp_path, "outcomes"):
        stand[one["request_id"], one["label"]] += -1 if one["retracts"] else 1
    answered = {one["request_id"] for one in written(tmp_path, "comparisons") if one["status"] == "compared"}
    assert +stand == Counter({(key, 0 if int(key[1:]) % 80 == 7 else 1): 1 for key in answered})


def test_rows_without_id_and_time_are_numbered(tmp_path: Path) -> None:
    settings(tmp_path, '[backtest]\nrequest_id = ""\ntimestamp = ""\n')
    (tmp_path / "log.csv").write_text("x,zip,prediction,label,shadow_prediction\n1,01,2,2,2\n3,x,4,5,5\n")
    path = str(tmp_path / "log.csv")
    (tmp_path / "shadow.toml").write_text(
        (tmp_path / "shadow.toml").read_text() + 'shadow_prediction = "shadow_prediction"\ntext = ["label"]\n'
    )
    assert call(tmp_path, *one_file(tmp_path / "log.csv", "--labels", path)) == 0
    assert [one["request_id"] for one in written(tmp_path, "comparisons")] == ["2", "3"]
    assert [one["label"] for one in written(tmp_path, "outcomes")] == ["2", "5"]


@pytest.mark.parametrize(
    ("header", "arguments", "said"),
    [
        ("request_id,timestamp_ms,predictoin", [], "did you mean 'predictoin'?"),
        ("id,timestamp_ms,prediction", [], "no column 'request_id', which is what 'backtest.request_id' names"),
        ("request_id,timestamp_ms,prediction", ["--shadow", "other"], "has no shadow named 'other'"),
        ("request_id,timestamp_ms,prediction", ["--requests", "absent.csv"], "absent.csv cannot be read"),
        ("request_id,timestamp_ms,prediction", ["--requests", "log.txt"], "does not say what it is"),
        ("", [], "is empty"),
        ("a,a", [], "more than one column named 'a'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    header: str, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\n" if header else "")
    usual = ["--shadow", "new", "--requests", str(path), "--predictions", str(path)]
    recorded = [] if arguments[:1] == ["--shadow"] else ["--shadow-predictions", str(path)]
    given = [*usual, *recorded, *arguments] if arguments[:1] != ["--shadow"] else [*usual[2:], *arguments]
    assert call(tmp_path, *given) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path, MAPPING)
    write_csv(tmp_path / "log.csv")
    mine = tmp_path / "out" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert call(tmp_path, *one_file(tmp_path / "log.csv")) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [found.name for found in mine.parent.iterdir()] == ["thesis.txt"]
    assert call(tmp_path, *one_file(tmp_path / "log.csv", "--force")) == 0
    assert call(tmp_path, *one_file(tmp_path / "log.csv")) == 0, "it is a backtest's now"
    assert mine.read_text() == "years of work"
    assert not [found.name for found in mine.parent.iterdir() if found.name.startswith(".")]


def test_the_exit_code_is_the_verdict_where_that_is_asked_for(tmp_path: Path) -> None:
    settings(tmp_path, MAPPING)
    write_csv(tmp_path / "log.csv")
    assert call(tmp_path, *one_file(tmp_path / "log.csv")) == 0
    (verdict,) = written(tmp_path, "verdicts")
    codes = {"PROMOTE": 0, "KEEP_WATCHING": 10, "SEND_BACK": 20}
    assert verdict["verdict"] != "PROMOTE"
    assert call(tmp_path, *one_file(tmp_path / "log.csv", "--exit-code")) == codes[verdict["verdict"]]


def test_a_mapping_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    settings(tmp_path)
    write_csv(tmp_path / "log.csv")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    assert call(tmp_path, *one_file(tmp_path / "log.csv", "--mapping", str(tmp_path / "mapping.toml"))) == 0
    assert len(written(tmp_path, "comparisons")) == ROWS


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text("utf-8")
    blocks = dict(re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[:3])
    (tmp_path / "log.csv").write_text(blocks["csv"], "utf-8")
    (tmp_path / "shadow.toml").write_text(blocks["toml"], "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        run(shlex.split(blocks[""])[1:])
    report = (tmp_path / "results" / "report.html").read_text("utf-8")
    assert "live@1~new@recorded" in report
    rows = [json.loads(line) for line in (tmp_path / "results" / "outcomes.jsonl").read_text("utf-8").splitlines()]
    assert [(one["live_correct"], one["shadow_correct"]) for one in rows] == [
        (True, True),
        (False, True),
        (False, True),
    ]


def test_the_judge_beside_gives_what_the_judge_here_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(tmp_path, MAPPING)
    write_csv(tmp_path / "log.csv")
    asked = one_file(tmp_path / "log.csv", "--labels", str(tmp_path / "log.csv"))
    found = []
    for large in (20_000_000, 0):
        monkeypatch.setattr("shadowbus.backtest.run.LARGE_BYTES", large)
        assert call(tmp_path, *asked) == 0
        found.append({topic: written(tmp_path, topic) for topic in ("comparisons", "outcomes", "verdicts")})
    assert found[0] == found[1]
    assert len(found[0]["outcomes"]) > 300


def test_two_models_are_asked_in_processes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path)
    shadows = "".join(f'[[shadow]]\nname = "{name}"\nmodel = "{bundle}"\n' for name in ("one", "two"))
    settings(tmp_path, shadows)
    files = []
    for topic, made in (("requests", request), ("predictions", prediction)):
        path = tmp_path / f"{topic}.jsonl"
        path.write_text(
            "".join(json.dumps(made(f"r{number}", timestamp_ms=T0 + number)) + "\n" for number in range(ROWS))
        )
        files.append(f"--{topic}={path}")
    assert call(tmp_path, "--shadow", "one", "--shadow", "two", *files, "--json") == 0
    trials = [json.loads(line)["trial"] for line in capsys.readouterr().out.splitlines()]
    assert trials == ["champion@1~one@2", "champion@1~two@2"]
    compared = written(tmp_path, "comparisons")
    assert Counter((one["trial"], one["status"]) for one in compared) == {(trial, "compared"): ROWS for trial in trials}
    answers: dict[str, set[object]] = {}
    for one in compared:
        answers.setdefault(one["request_id"], set()).add(one["shadow"]["prediction"])
    assert {len(said) for said in answers.values()} == {1}, "the same model says the same"


def test_it_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path, MAPPING)
    write_csv(tmp_path / "log.csv")
    shown: list[Path] = []

    def interrupt(path: Path, *_: object) -> RecordedModel:
        os.kill(os.getpid(), signal.SIGINT)
        for thread in threading.enumerate():
            if thread.name == "signals":
                thread.join(60)  # it ends once it has told
        shown.append(path)
        return RecordedModel("new@4", {})

    monkeypatch.setattr("shadowbus.backtest.run.read_recorded", interrupt)
    assert call(tmp_path, *one_file(tmp_path / "log.csv")) == 1
    assert shown
    assert "there is no verdict" in capsys.readouterr().err
    assert not written(tmp_path, "verdicts")
    assert json.loads((tmp_path / "out" / "backtest.json").read_text())["complete"] is False
