"""`shadowbus backtest FILE`: what one file is read for, files without times, and what is told of how they were read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shadowbus.cli.program import run
from shadowbus.report.document import document
from shadowbus.report.sources import from_backtest
from shadowbus.report.writing import pull_request
from shadowbus.story.trial import tell
from traffic import make_bundle

ROWS = 400
T0 = 1_760_000_000_000
HOUR_MS = 3_600_000


def settings(folder: Path, more: str = "") -> None:
    gate = "[gate]\nmin_requests = 100\nmin_agreement = 0.1\naccuracy_margin = 0.2\n"
    (folder / "shadow.toml").write_text(f'namespace = "n"\n{gate}{more}', encoding="utf-8")


def call(folder: Path, *arguments: str) -> int:
    try:
        asked = ["--config", str(folder / "shadow.toml"), "backtest", "--out", str(folder / "out"), "--no-report"]
        return run([*asked, *arguments])
    except SystemExit as left:
        return int(left.code or 0)


def written(folder: Path, topic: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{topic}.jsonl").read_text("utf-8").splitlines()]


def log(path: Path, names: str = "request_id,timestamp_ms,x,prediction,label,shadow_prediction", bad: int = 0) -> Path:
    """All agree; every third label is another. The first rows of `bad` cannot be read."""
    cells = {"x": "{n}.5", "prediction": "1", "label": "{third}", "shadow_prediction": "1"}
    lines = [names]
    for n in range(ROWS):
        row = {"request_id": f"r{n}", "timestamp_ms": str(T0 + n * HOUR_MS * 5), **cells}
        made = ",".join(row[name].format(n=n, third=int(n % 3 == 0)) for name in names.split(","))
        lines.append(made.replace(f"{n}.5", "soon") if n < bad else made)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_one_file_is_read_for_all_that_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path)
    assert call(tmp_path, str(log(tmp_path / "log.csv"))) == 0
    told = capsys.readouterr().err
    assert f"log.csv: {ROWS} rows. request_id: request id; timestamp_ms: time, ms since 1970" in told
    (verdict,) = written(tmp_path, "verdicts")
    assert (verdict["trial"], verdict["requests"], verdict["labels"]) == ("live@1~shadow@recorded", ROWS, ROWS)
    summary = json.loads((tmp_path / "out" / "backtest.json").read_text())
    assert summary["columns"][str(tmp_path / "log.csv")]["x"] == "number"


def test_a_file_without_labels_and_answers_of_a_shadow_is_put_to_the_only_shadow(tmp_path: Path) -> None:
    settings(tmp_path, f'[[shadow]]\nname = "new"\nmodel = "{make_bundle(tmp_path)}"\n')
    assert call(tmp_path, str(log(tmp_path / "log.csv", "request_id,timestamp_ms,x,prediction"))) == 0
    (verdict,) = written(tmp_path, "verdicts")
    assert (verdict["requests"], verdict["labels"]) == (ROWS, 0)


def test_of_several_shadows_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path, "".join(f'[[shadow]]\nname = "{name}"\nmodel = "x"\n' for name in ("one", "two")))
    assert call(tmp_path, str(log(tmp_path / "log.csv"))) == 1
    assert "say which with --shadow, one of one, two" in capsys.readouterr().err
    assert call(tmp_path, str(tmp_path / "log.csv"), "--shadow", "two") == 0
    assert call(tmp_path, str(tmp_path / "log.csv"), f"--shadow-predictions=one={tmp_path / 'log.csv'}") == 0
    assert [one["trial"] for one in written(tmp_path, "verdicts")] == ["live@1~one@recorded"]


def test_without_a_file_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path)
    assert call(tmp_path) == 2
    assert "Name a FILE that has everything" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_labels_and_predictions_of_ids_alone_belong_to_their_requests(kind: str, tmp_path: Path) -> None:
    """400 requests over 83 days; the files of ids are in another order and reach beyond any horizon."""
    settings(tmp_path, "[judge]\nhorizon_days = 1\n")
    whole = log(tmp_path / "log.csv", "request_id,timestamp_ms,x")
    for name, value in (("prediction", "1"), ("label", "{third}"), ("shadow", "1")):
        column = "prediction" if name == "shadow" else name
        rows = [(f"r{n}", int(value.format(third=int(n % 3 == 0)))) for n in reversed(range(-1, ROWS))]
        text = (
            f"request_id,{column}\n" + "".join(f"{key},{one}\n" for key, one in rows)
            if kind == "csv"
            else "".join(json.dumps({"request_id": key, column: one}) + "\n" for key, one in rows)
        )
        (tmp_path / f"{name}.{kind}").write_text(text)
    asked = [f"--requests={whole}", *(f"--{name}s={tmp_path / name}.{kind}" for name in ("prediction", "label"))]
    assert call(tmp_path, *asked, f"--shadow-predictions={tmp_path / 'shadow'}.{kind}") == 0
    outcomes = {one["request_id"]: one for one in written(tmp_path, "outcomes")}
    assert len(outcomes) == ROWS
    for n in range(ROWS):
        assert outcomes[f"r{n}"]["label"] == int(n % 3 == 0)
        assert outcomes[f"r{n}"]["timestamp_ms"] == T0 + n * HOUR_MS * 5
    (verdict,) = written(tmp_path, "verdicts")
    assert verdict["books"]["closes"]
    statuses = [one["status"] for one in written(tmp_path, "comparisons")]
    assert (statuses.count("compared"), statuses.count("request_missing"), len(statuses)) == (ROWS, 1, ROWS + 1)


def test_a_dead_letter_of_a_label_without_a_time_leads_to_its_line(tmp_path: Path) -> None:
    settings(tmp_path)
    whole = log(tmp_path / "log.csv", "request_id,timestamp_ms,x,prediction,shadow_prediction")
    (tmp_path / "labels.csv").write_text("request_id,label,probability\nr5,1,\nr3,1,7\n")
    assert call(tmp_path, str(whole), f"--labels={tmp_path / 'labels.csv'}", "--max-set-aside=0.5") == 0
    (letter,) = written(tmp_path, "dead-letters")
    assert (letter["file"], letter["line"]) == (str(tmp_path / "labels.csv"), 3)


@pytest.mark.parametrize("gate", [[], ["--exit-code"]])
def test_a_verdict_on_what_was_left_over_is_a_failure(
    gate: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    path = str(log(tmp_path / "log.csv", bad=40))
    assert call(tmp_path, path, *gate) == 1
    said = capsys.readouterr().err.splitlines()
    reason = "column 'x' is read as number, and 'soon' is none: list it in backtest.text to keep its cells as they are"
    assert (
        said[1]
        == f"{path}: 40 rows were set aside in dead-letters.jsonl (10.0% of its rows could not be used): 40 {reason}."
    )
    assert "10.0% of the rows" in said[-1]
    assert "--max-set-aside 0.1" in said[-1]
    assert len(written(tmp_path, "dead-letters")) == 40, "of one row one letter, whatever it is read for"
    summary = json.loads((tmp_path / "out" / "backtest.json").read_text())
    assert summary["set_aside"] == {path: {reason: 40}}
    assert (summary["rows"], summary["rows_set_aside"]) == ({path: ROWS}, {path: 40})
    assert call(tmp_path, path, "--max-set-aside=0.1") == 0


def test_few_rows_that_are_set_aside_are_told_after_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    assert call(tmp_path, str(log(tmp_path / "log.csv", bad=4))) == 0
    assert "4 rows were set aside" in capsys.readouterr().err


def test_when_no_row_can_be_used_it_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path)
    (tmp_path / "log.csv").write_text("request_id,timestamp_ms,prediction\na,next week,1\nb,soon,1\n")
    assert call(tmp_path, str(tmp_path / "log.csv"), f"--shadow-predictions={tmp_path / 'log.csv'}") == 1
    assert "'next week' is none: read are ISO 8601" in capsys.readouterr().err.splitlines()[-1]


def test_of_numbers_it_is_told_how_far_they_are_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """House prices: the figures are worked out here once more, and nothing is written in powers of ten."""
    settings(tmp_path, '[[shadow]]\nname = "new"\nmodel = "x"\ntask = "regression"\n[backtest]\nsegments = ["city"]\n')
    rows, live, shadow = ["request_id,timestamp_ms,x,prediction,label,shadow_prediction,city"], [], []
    for n in range(ROWS):
        price = 150_000 + 997 * n
        errors = 9_000 + 31 * (n % 7), 4_000 + 100_000 * (n == 5)
        live.append(errors[0])
        shadow.append(errors[1])
        rows.append(
            f"r{n},{T0 + n * HOUR_MS},{n},{price + errors[0]},{price},{price - errors[1]},{'oslo' if n % 2 else 'rome'}"
        )
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    call(tmp_path, str(tmp_path / "log.csv"))
    mae = [sum(side) / ROWS for side in (live, shadow)]
    rmse = [(sum(one * one for one in side) / ROWS) ** 0.5 for side in (live, shadow)]
    said = capsys.readouterr().out
    assert (
        f"Off by {mae[1]:,.0f} on average (MAE) over 400 labels, the live model by {mae[0]:,.0f}; "
        f"RMSE {rmse[1]:,.0f}, live {rmse[0]:,.0f}."
    ) in said
    (told,) = tell(from_backtest(tmp_path / "out").told).trials
    assert told.deviation is not None
    assert told.deviation.difference == pytest.approx(mae[1] - mae[0])
    assert "Off by" in told.why
    assert {one.measure for one in told.segments} == {"mean absolute error"}
    pages = [pull_request(document(from_backtest(tmp_path / "out").told, source="x", made_ms=T0, draw=None)), said]
    assert not [page for page in pages if re.search(r"\de[+-]\d", page)]
