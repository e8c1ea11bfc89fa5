"""The judge over lists: each comparison meets its label once, whatever order and faults, and the books close."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from judge_log import Log, comparison, label
from shadowbus.records import Answered, Outcome, decode


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.stage.close()


def test_a_label_that_comes_later_says_who_was_right(log: Log) -> None:
    log.send([comparison(1), label(1, "1")])
    log.step("comparisons", 1)
    log.step("labels", 1)
    outcome = decode(Outcome, log.outcomes[0])
    assert (outcome.live_correct, outcome.shadow_correct, outcome.segments) == (True, True, {"country": "DE"})


def test_a_label_that_was_chosen_with_a_known_probability_weighs_its_inverse(log: Log) -> None:
    log.send([comparison(1, weight=2.0, agree=False), label(1, 1, probability=0.25)])
    for wrong in (0, -0.5, 1.5, "1", True, [1]):
        log.send([label(1, 1, probability=wrong)])
    log.step("comparisons", 1)
    log.step("labels", 7)
    (outcome,) = (decode(Outcome, value) for value in log.outcomes)
    assert (outcome.weight, outcome.agree, outcome.retracts) == (8.0, False, False)
    assert (outcome.live, outcome.shadow) == (Answered(1), Answered(1))
    assert len(log.letters) == 6


def test_a_label_that_comes_first_waits_for_every_shadow(log: Log) -> None:
    log.send([label(4, 0), comparison(4, "s"), comparison(4, "t")])
    log.step("labels", 1)
    log.step("comparisons", 1)
    log.step("comparisons", 1)
    assert log.found() == {("r4", "live@1~s@1"): 1, ("r4", "live@1~t@1"): 1}
    outcome = decode(Outcome, log.outcomes[0])
    assert (outcome.live_correct, outcome.shadow_correct) == (True, False)


def test_what_cannot_be_used_becomes_a_dead_letter_and_the_books_say_so(log: Log) -> None:
    log.send([("labels", b"r1", b"{"), ("labels", None, b"{}"), ("labels", b"r1", b'{"timestamp_ms":1}'), label(1, 1)])
    log.send([label(1, 0), ("comparisons", b"r1", None), comparison(1, status="live_missing", live=None)])
    log.step("labels", 9)
    log.step("comparisons", 9)
    assert len(log.letters) == 4
    assert log.books() == {
        "labels": {
            "read": 5,
            "kept": 1,
            "duplicates": 0,
            "corrections": 1,
            "too_old": 0,
            "dead_lettered": 3,
            "never_read": 0,
        },
        "comparisons": {
            "read": 2,
            "not_compared": 1,
            "judged": 0,
            "waiting": 0,
            "expired": 0,
            "dead_lettered": 1,
            "never_read": 0,
        },
    }


@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_each_comparison_is_judged_once_and_the_books_close(log: Log, seed: int) -> None:
    chance = random.Random(seed)
    labelled = {number for number in range(120) if chance.random() < 0.7}
    compared = [(number, shadow) for number in range(120) for shadow in "st" if chance.random() < 0.9]
    log.send(comparison(number, shadow) for number, shadow in compared)
    log.send(label(number, number % 2) for number in chance.sample(sorted(labelled), len(labelled)))
    while any(log.taken[topic] < len(records) for topic, records in log.topics.items()):
        moment = chance.choice(["", "", "before commit", "after commit", "after write"])
        log.step(chance.choice(["comparisons", "labels"]), chance.randint(1, 20), die=moment)
    expected = Counter((f"r{n}", f"live@1~{shadow}@1") for n, shadow in compared if n in labelled)
    assert log.found() == expected
    books = log.books()
    assert books["comparisons"]["judged"] == expected.total()
    assert books["comparisons"]["waiting"] == len(compared) - expected.total()
    assert books["labels"]["kept"] == len(labelled)


def test_a_worker_on_another_machine_reads_the_state_back_from_the_topics(log: Log, tmp_path: Path) -> None:
    log.send([comparison(number) for number in range(50)])
    log.step("comparisons", 50)
    log.folder = tmp_path / "elsewhere"
    log.restart()
    log.send([label(number, 1) for number in range(50)])
    log.step("labels", 50)
    assert log.found().total() == 50


def test_a_state_that_is_ahead_of_the_topics_is_not_believed(log: Log) -> None:
    log.send([comparison(1), comparison(2)])
    log.step("comparisons", 2)
    log.topics["comparisons"].clear()
    log.taken["comparisons"] = 0
    log.kept.clear()
    log.restart()
    log.send([comparison(1), label(1, 1)])
    log.step("comparisons", 1)
    log.step("labels", 1)
    assert log.found() == {("r1", "live@1~s@1"): 1}


def test_the_same_comparison_twice_waits_twice(log: Log) -> None:
    log.send([comparison(1), comparison(1)])
    log.step("comparisons", 2)
    log.restart()
    log.send([label(1, 1)])
    log.step("labels", 1)
    assert (log.books()["comparisons"]["judged"], log.books()["comparisons"]["waiting"]) == (2, 0)
