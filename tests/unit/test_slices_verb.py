"""`shadowbus slices` over files, as a backtest writes them."""

import json
import random
from pathlib import Path

import pytest

from shadowbus.cli.program import run

TRIAL = "live@1~challenger@2"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A shadow that is wrong for one country, whose name would like to steer a terminal."""
    dice, comparisons, outcomes = random.Random(1), list[str](), list[str]()
    for number in range(3_000):
        country = dice.choice(["\x1b[31mDE", "FR", "AT"])
        wrong = dice.random() < (0.4 if country.endswith("DE") else 0.02)
        key = {"request_id": f"r{number}", "timestamp_ms": number, "trial": TRIAL}
        features = {"country": country, "amount": dice.random()}
        comparisons.append(json.dumps({**key, "status": "compared", "agree": not wrong, "features": features}))
        outcomes.append(json.dumps({**key, "label": 1, "live_correct": True, "shadow_correct": not wrong}))
    written = tmp_path / "comparisons.jsonl", tmp_path / "outcomes.jsonl"
    for path, lines in zip(written, (comparisons, outcomes), strict=True):
        path.write_text("\n".join([*lines, "", "no json"]) + "\n", encoding="utf-8")
    return written


def call(*arguments: str) -> int:
    try:
        return run(["slices", "--shadow", "challenger", *arguments])
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize("by", ["disagreement", "harm"])
def test_the_worst_slice_comes_first_and_cannot_steer_the_terminal(
    by: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    comparisons, outcomes = map(str, files)
    assert call("--measure", by, "--comparisons", comparisons, "--outcomes", outcomes) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    first = next(line for line in shown.splitlines() if "country" in line)
    assert first.startswith("country = DE")
    assert first.rstrip().endswith("shown worse")
    assert call("--measure", by, "--comparisons", comparisons, "--outcomes", outcomes, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["trial"], found["by"], found["with_features"]) == (TRIAL, by, True)
    assert found["found_on"] + found["tested_on"] == 3_000
    assert found["slices"][0]["conditions"] == [{"feature": "country", "is": "\x1b[31mDE"}]
    assert found["slices"][0]["low"] < 0.38 < found["slices"][0]["high"]


def test_what_stands_in_the_way_is_told(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    comparisons, outcomes = map(str, files)
    assert call("--measure", "harm", "--comparisons", comparisons) == 2
    assert call("--comparisons", f"{comparisons}.gone") == 1
    assert "cannot be read" in capsys.readouterr().err
    few = files[0].with_name("few.jsonl")
    few.write_text(json.dumps({"request_id": "r1", "timestamp_ms": 1, "trial": TRIAL, "agree": True}))
    assert call("--measure", "harm", "--comparisons", str(few), "--outcomes", outcomes) == 0
    told = capsys.readouterr()
    assert "No slice stands out." in told.out
    assert "only segments were searched" in told.err
    assert "2999 outcomes are of comparisons older" in told.err
