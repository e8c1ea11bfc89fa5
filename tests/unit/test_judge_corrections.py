"""Labels that are corrected: an outcome is taken back and replaced, and what was written adds up to what stands."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge_log import HORIZON, HOUR_MS, Log, comparison, label
from shadowbus.judge.entry import Entry, KeptComparison, KeptLabel
from shadowbus.records import Outcome, decode


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.stage.close()


def parsed(log: Log) -> list[dict[str, Any]]:
    return [json.loads(value) for value in log.outcomes]


def test_a_corrected_label_takes_back_exactly_what_was_written_and_writes_it_anew(log: Log) -> None:
    scores = {"model": "live@1", "prediction": 1, "scores": {"0": 0.25, "1": 0.75}}
    log.send([comparison(1, live=scores, shadow={**scores, "prediction": 0}, weight=2.0, agree=False)])
    log.send([label(1, 1, probability=0.5), label(1, 0)])
    log.step("comparisons", 1)
    log.step("labels", 1)
    log.restart()
    log.step("labels", 1, die="before commit")
    log.step("labels", 1)
    first, back, anew = parsed(log)
    assert back == {**first, "retracts": True}
    assert not first["retracts"]
    assert not anew["retracts"]
    assert [(one["label"], one["live_correct"], one["weight"]) for one in (first, anew)] == [
        (1, True, 4),
        (0, False, 2),
    ]
    outcome = decode(Outcome, log.outcomes[2])
    assert outcome.shadow_correct
    assert outcome.live is not None
    assert outcome.live.scores == scores["scores"]
    books = log.books()
    assert (books["comparisons"]["judged"], books["comparisons"]["waiting"]) == (1, 0)
    assert (books["labels"]["kept"], books["labels"]["corrections"]) == (1, 1)


def test_the_same_label_again_is_a_duplicate_and_writes_nothing(log: Log) -> None:
    log.send([comparison(1), label(1, "yes"), label(1, "yes")])
    log.step("comparisons", 1)
    log.step("labels", 2)
    log.now_ms += HOUR_MS
    log.send([label(1, "yes", timestamp_ms=9), label(1, "no"), label(1, "yes")])
    log.step("labels", 1)
    assert len(log.outcomes) == 1
    log.step("labels", 2)
    assert [(one["label"], one["retracts"]) for one in parsed(log)] == [
        ("yes", False),
        ("yes", True),
        ("no", False),
        ("no", True),
        ("yes", False),
    ]
    assert parsed(log)[1]["timestamp_ms"] == 7
    labels = log.books()["labels"]
    assert (labels["kept"], labels["duplicates"], labels["corrections"]) == (1, 2, 2)


def test_a_comparison_that_comes_after_both_labels_is_judged_by_the_later_one_at_once(log: Log) -> None:
    log.send([label(1, 0), label(1, 1), comparison(1)])
    log.step("labels", 2)
    log.step("comparisons", 1)
    assert log.standing() == {("r1", "live@1~s@1", 1): 1}
    assert len(log.outcomes) == 1


def test_a_label_is_corrected_for_every_shadow_and_as_long_as_the_horizon(log: Log) -> None:
    log.send([comparison(1, "s"), comparison(1, "t"), label(1, 1)])
    log.step("comparisons", 2)
    log.step("labels", 1)
    log.now_ms = HORIZON * HOUR_MS
    log.tick()
    log.send([label(1, 0)])
    log.step("labels", 1)
    log.now_ms += HOUR_MS
    log.tick()
    log.send([label(1, 1)])
    log.step("labels", 1)
    assert log.standing() == {("r1", "live@1~s@1", 0): 1, ("r1", "live@1~t@1", 0): 1}


def test_a_worker_on_another_machine_takes_back_what_was_written_before_it_came(log: Log, tmp_path: Path) -> None:
    log.send([comparison(1), label(1, 1)])
    log.step("labels", 1)
    log.step("comparisons", 1)
    log.folder = tmp_path / "elsewhere"
    log.restart()
    assert len(log.outcomes) == 1
    log.send([label(1, 0)])
    log.step("labels", 1)
    first, back, _ = parsed(log)
    assert back == {**first, "retracts": True}


DEATHS = st.sampled_from(["", "", "before commit", "after commit", "after write"])
MOVES = st.one_of(
    st.tuples(st.just("compare"), st.integers(0, 2), st.sampled_from("st")),
    st.tuples(st.just("label"), st.integers(0, 2), st.sampled_from([0, 1, True, "1", [1]])),
    st.tuples(st.just("label"), st.integers(0, 2), st.sampled_from([0, 1, True, "1", [1]])),
    st.tuples(st.just("comparisons"), st.integers(1, 4), DEATHS),
    st.tuples(st.just("labels"), st.integers(1, 4), DEATHS),
    st.tuples(st.just("tick"), st.sampled_from([0, 0, 1, HORIZON // 2, HORIZON, HORIZON + 1]), DEATHS),
    st.tuples(st.just("elsewhere"), st.integers(0, 1), st.just("")),
)


def play(log: Log, moves: list[tuple[str, int, Any]]) -> None:
    """Send, read, let time pass, kill and move the worker, in this order; then read the rest."""
    home = log.folder
    for move, number, more in moves:
        if move == "compare":
            log.send([comparison(number, more)])
        elif move == "label":
            log.send([label(number, more, probability=0.5 if more == 0 else None)])
        elif move == "tick":
            log.now_ms += number * HOUR_MS
            log.tick(die=more)
        elif move == "elsewhere":
            log.folder = home / f"elsewhere-{number}"  # new, or left there before
            log.restart()
        else:
            log.step(move, number, die=more)
    for topic, records in log.topics.items():
        log.step(topic, len(records))


def expected(log: Log) -> Counter[str]:
    """Each comparison under the last label within the horizon, with who was right; from the topics alone."""
    found: Counter[str] = Counter()
    for (_, key, value), at_ms in log.topics["comparisons"]:
        hour, last = at_ms // HOUR_MS, None
        for (_, other, told), then_ms in log.topics["labels"]:
            if other == key and abs(then_ms // HOUR_MS - hour) <= HORIZON:
                last = json.loads(told or b"")["label"]
        if last is not None:
            one = json.loads(value or b"")
            right = [
                last in (answer, str(answer)) for answer in (one["live"]["prediction"], one["shadow"]["prediction"])
            ]
            found[json.dumps([one["request_id"], one["trial"], last, *right, 2.0 if last == 0 else 1.0])] += 1
    return found


@settings(max_examples=120)
@given(st.lists(MOVES, max_size=60))
def test_whatever_happens_the_outcomes_add_up_to_each_comparison_under_its_latest_label(
    moves: list[tuple[str, int, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder))
        try:
            play(log, moves)
        finally:
            log.stage.close()
    standing: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for one in parsed(log):
        retracts = one.pop("retracts")
        written[json.dumps(one)] += -1 if retracts else 1
        assert written[json.dumps(one)] >= 0, "what is taken back was written before, byte for byte"
        right = (one["live_correct"], one["shadow_correct"])
        fields = [one["request_id"], one["trial"], one["label"], *right, one["weight"]]
        standing[json.dumps(fields)] += -1 if retracts else 1
    assert +standing == expected(log)
    for side in log.books().values() if log.kept else ():
        assert side.pop("read") == sum(side.values())
        assert min(side.values()) >= 0


_labels = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([b"0", b"1", b"2"])), max_size=30)


@settings(max_examples=300)
@given(_labels, st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 3))
def test_labels_that_are_no_longer_kept_count_for_nothing(
    labels: list[tuple[int, bytes]], comparisons: list[int], horizon: int
) -> None:
    """Held against an entry that keeps every label."""
    kept, every = Entry(0), Entry(0)
    for entry in (kept, every):
        for hour in comparisons:
            entry.add(KeptComparison(hour, 0, True, b"1", None, b"0", None))
    for number, (hour, value) in enumerate(labels):
        label, last = KeptLabel(hour, value, number), every.labels[-1] if every.labels else None
        kept.correct(label, horizon)
        repeated = last is not None and (last.hour, last.value) == (hour, value)
        if not repeated:
            every.labels.append(label)
        assert [kept.label_for(one, horizon) for one in kept.kept] == [
            every.label_for(one, horizon) for one in every.kept
        ]
        if not repeated:
            assert list(kept.changes(horizon)) == list(every.changes(horizon))


def test_an_id_whose_label_is_corrected_without_end_costs_no_more_each_time(log: Log) -> None:
    log.send([comparison(1)])
    log.step("comparisons", 1)
    log.send([label(1, number % 2, timestamp_ms=number) for number in range(5_000)])
    for _ in range(50):
        log.step("labels", 100)
    ((_, packed),) = log.stage.partitions[0].store.entries([(b"r1", 0)]).items()
    assert len(packed.labels) == 3
    assert len(packed.to_bytes()) < 300
    assert log.standing() == {("r1", "live@1~s@1", 1): 1}
    books = log.books()
    assert (books["labels"]["read"], books["labels"]["kept"], books["labels"]["corrections"]) == (5_000, 1, 4_999)
