"""What to label: probabilities are what they say, weighted estimates are right on average, nothing is asked twice."""

import csv
import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.cli.program import run
from shadowbus.labelling.candidate import Candidate, candidates_of
from shadowbus.labelling.queue import queue
from shadowbus.labelling.sample import even_shares, sample

TRIAL = "live@1~challenger@2"


def world(seed: int, count: int) -> tuple[list[Candidate], dict[str, int]]:
    """Candidates, and by id what a label would show: 1 only the shadow is right, -1 only the live model, else 0."""
    dice, candidates, truth = random.Random(seed), list[Candidate](), dict[str, int]()
    for number in range(count):
        agree, country = dice.random() < 0.8, dice.choices(["DE", "FR", "LU"], [70, 25, 5])[0]
        candidates.append(Candidate(f"r{number}", number, agree, "a", "a" if agree else "b", {"country": country}))
        truth[f"r{number}"] = 0 if agree else dice.choices([1, -1, 0], [5, 3, 2] if country == "DE" else [2, 5, 3])[0]
    return candidates, truth


@pytest.mark.parametrize("by_segment", [None, "country"])
def test_the_weighted_estimate_is_right_on_average_and_as_near_as_it_says(by_segment: str | None) -> None:
    candidates, truth = world(1, 1_500)
    wanted = sum(truth.values()) / len(candidates)
    estimates, off, runs = list[float](), 0, 400
    for seed in range(runs):
        chosen = queue(candidates, 100, agreements=0.2, seed=seed, by_segment=by_segment)
        estimates.append(sum(truth[one.request_id] / p for one, p in chosen.chosen) / len(candidates))
        off += abs(estimates[-1] - wanted) > chosen.margin
    assert abs(np.mean(estimates) - wanted) < 3 * np.std(estimates) / math.sqrt(runs)
    assert off <= 0.05 * runs


def test_an_unweighted_estimate_would_be_wrong() -> None:
    """What the probabilities are for: disagreements are asked far more often than there are any."""
    candidates, truth = world(1, 1_500)
    chosen = queue(candidates, 100, agreements=0.2).chosen
    plain = sum(truth[one.request_id] for one, _ in chosen) / len(chosen)
    weighted = sum(truth[one.request_id] / p for one, p in chosen) / sum(1 / p for _, p in chosen)
    wanted = sum(truth.values()) / len(candidates)
    assert abs(plain - wanted) > 3 * abs(weighted - wanted)


def test_each_id_is_chosen_as_often_as_its_probability_says() -> None:
    ids = {"few": ["a", "b", "c"], "many": [f"r{number}" for number in range(40)]}
    seen, runs = Counter[str](), 2_000
    for seed in range(runs):
        chosen = sample(ids, {"few": 2, "many": 5}, seed)
        assert Counter(one.stratum for one in chosen) == {"few": 2, "many": 5}
        assert all(one.probability == {"few": 2 / 3, "many": 5 / 40}[one.stratum] for one in chosen)
        seen.update(one.request_id for one in chosen)
    for stratum, members in ids.items():
        p = {"few": 2 / 3, "many": 5 / 40}[stratum]
        for one in members:
            assert abs(seen[one] / runs - p) < 4.5 * math.sqrt(p * (1 - p) / runs), one


def test_whoever_stops_half_way_has_labelled_about_half_of_each_stratum() -> None:
    candidates, _ = world(2, 2_000)
    chosen = queue(candidates, 200, agreements=0.3).chosen
    assert sum(one.agree for one, _ in chosen) == 60
    assert sum(one.agree for one, _ in chosen[:100]) == pytest.approx(30, abs=1)


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 50), min_size=1), st.integers(0, 400))
def test_shares_are_as_even_as_sizes_allow(sizes: dict[str, int], total: int) -> None:
    shares = even_shares(sizes, total)
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(0 <= shares[one] <= sizes[one] for one in sizes)
    short = max(shares.values())
    assert all(shares[one] in (sizes[one], short, short - 1) for one in sizes)


def test_the_chosen_stand_for_all_candidates_even_with_more_segments_than_labels() -> None:
    candidates = [Candidate(f"r{n}", n, n % 3 == 0, 1, 2, {"customer": n % 50}) for n in range(500)]
    for count in (2, 3, 10, 40):
        chosen = queue(candidates, count, agreements=0.5, by_segment="customer").chosen
        assert len(chosen) == count
        assert sum(1 / p for _, p in chosen) == pytest.approx(500)


def test_with_fewer_disagreements_than_labels_all_are_asked_and_the_labels_left_are_saved() -> None:
    candidates, _ = world(3, 100)
    found = queue(candidates, 1_000, agreements=0.01)
    assert sum(not one.agree for one, _ in found.chosen) == found.disagreements
    assert sum(one.agree for one, _ in found.chosen) == 10
    assert found.margin == 0
    assert {p for one, p in found.chosen if not one.agree} == {1.0}


def test_nothing_to_choose_from_is_no_error() -> None:
    assert queue([], 10).chosen == ()
    assert queue([Candidate("r1", 1, True, 1, 1, {})], 10, agreements=0).chosen == ()


def comparison(number: int, **changes: object) -> dict[str, object]:
    side = {"model": "m@1", "prediction": "=cmd()\x1b[31m"}
    record = {"request_id": f"r{number}", "timestamp_ms": 1_000 + number, "trial": TRIAL, "status": "compared"}
    return {**record, "agree": number % 4 > 0, "live": side, "shadow": side, "segments": {"a": 'x,"y'}, **changes}


def test_only_what_both_answered_and_nobody_labelled_is_a_candidate() -> None:
    records = [
        comparison(1),
        comparison(2, agree=None),
        comparison(3, status="shadow_error", shadow=None),
        comparison(4),
        comparison(5),
        comparison(6, trial="live@1~challenger@1"),
        comparison(7, trial="live@1~other@9"),
    ]
    values = [*(json.dumps(record).encode() for record in records), b"odd", b"[]"]
    labels = [
        b'{"request_id":"r4","timestamp_ms":1,"label":1}',
        b'{"request_id":"r9","label":1,"probability":0.5}',
        b"{",
    ]
    found = candidates_of(values, labels, "challenger", trial=TRIAL)
    assert [one.request_id for one in found.found] == ["r1", "r5"]
    assert (found.labelled, found.queued, found.newest_ms) == (1, 0, 1_005)
    later = candidates_of(values, labels, "challenger", trial=TRIAL, since_ms=1_005)
    assert [one.request_id for one in later.found] == ["r5"]
    assert candidates_of(values, [], "challenger").trial == "live@1~challenger@1"
    assert candidates_of(values, [], "nobody").trial == ""


@pytest.fixture
def comparisons(tmp_path: Path) -> Path:
    path = tmp_path / "comparisons.jsonl"
    path.write_text("\n".join(json.dumps(comparison(number)) for number in range(400)))
    return path


def call(*arguments: object) -> int:
    try:
        return run(["label-queue", "--shadow", "challenger", *map(str, arguments)])
    except SystemExit as left:
        return int(left.code or 0)


def test_the_queue_is_written_as_json_and_as_csv(comparisons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--count", 20, "--comparisons", comparisons, "--json") == 0
    told = capsys.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert Counter(row["agree"] for row in rows) == {False: 18, True: 2}
    assert {row["probability"] for row in rows} == {18 / 100, 2 / 300}
    assert "18 of 100 disagreements and 2 of 300 agreements" in told.err
    assert "--since 1400" in told.err
    margin = 1.96 * 0.25 * math.sqrt((1 - 0.18) / 18)
    assert f"within {margin:.4f}" in told.err
    out = comparisons.with_name("queue.csv")
    assert call("--count", 20, "--comparisons", comparisons, "--out", out) == 0
    assert capsys.readouterr().out == ""
    with out.open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [(row["request_id"], float(row["probability"])) for row in table] == [
        (row["request_id"], row["probability"]) for row in rows
    ]
    assert json.loads(table[0]["live"]) == "=cmd()\x1b[31m"
    assert table[0]["live"].startswith('"'), "no spreadsheet takes it for a formula"
    assert json.loads(table[0]["segments"]) == {"a": 'x,"y'}


def test_no_comparison_is_in_two_queues(comparisons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = comparisons.with_name("labels.jsonl")
    labels.write_text(
        '{"request_id":"r8","timestamp_ms":1,"label":1,"probability":0.25}\n{"request_id":"r9","label":1}'
    )
    assert call("--count", 20, "--comparisons", comparisons, "--labels", labels) == 1
    assert "1 of these comparisons were chosen by an earlier queue" in capsys.readouterr().err
    assert call("--count", 20, "--comparisons", comparisons, "--labels", labels, "--since", 1_009, "--json") == 0
    told = capsys.readouterr()
    assert "(1 were)" in told.err
    assert not {"r8", "r9"} & {json.loads(line)["request_id"] for line in told.out.splitlines()}


def test_a_file_that_cannot_be_written_is_told(comparisons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--count", 5, "--comparisons", comparisons, "--out", comparisons.parent) == 1
    assert "cannot be written" in capsys.readouterr().err
