"""When the judge forgets: what is over is counted once and leaves nothing behind, whatever order and faults."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from judge_log import HORIZON, HOUR_MS, Log, Sent, comparison, expire, label, left_in_store
from shadowbus.judge import stage as judge_stage


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.stage.close()


def test_a_comparison_waits_for_the_horizon_and_is_then_counted_as_expired(log: Log) -> None:
    log.send([comparison(1), comparison(2)])
    log.step("comparisons", 2)
    log.now_ms = HORIZON * HOUR_MS
    log.tick()
    log.send([label(1, 1)])
    log.step("labels", 1)
    log.now_ms += HOUR_MS
    log.tick()
    log.tick()
    log.send([label(2, 1)])
    log.step("labels", 1)
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (1, 0, 1)


def test_after_two_horizons_nothing_is_left(log: Log) -> None:
    log.send([comparison(1), comparison(2), label(2, 1), label(3, 1)])
    log.step("comparisons", 2)
    log.step("labels", 2)
    expire(log)
    assert left_in_store(log) == []


def test_a_label_of_long_ago_is_counted_and_not_kept(log: Log) -> None:
    log.send([comparison(1)])
    log.step("comparisons", 1)
    expire(log)
    log.topics["labels"].append((label(1, 1), 0))
    log.step("labels", 1)
    assert log.books()["labels"] == {
        "read": 1,
        "kept": 0,
        "duplicates": 0,
        "corrections": 0,
        "too_old": 1,
        "dead_lettered": 0,
        "never_read": 0,
    }
    assert left_in_store(log) == []


def test_nothing_expires_while_its_label_may_be_unread(log: Log) -> None:
    log.send([comparison(1)])
    log.send([label(number, 1) for number in range(2)])
    log.step("comparisons", 1)
    log.step("labels", 1)
    log.now_ms += 10 * HORIZON * HOUR_MS  # the worker was away
    log.restart()
    log.tick()
    log.step("labels", 1)
    assert log.found().total() == 1


def test_a_label_in_the_hour_in_which_its_comparison_would_expire_counts_or_not_by_its_time_alone(log: Log) -> None:
    log.send([comparison(1), comparison(2)])
    log.step("comparisons", 2)
    log.now_ms = HORIZON * HOUR_MS
    log.send([label(1, 1)])
    log.now_ms += HOUR_MS
    log.send([label(2, 1)])
    log.step("labels", 2)
    assert log.found() == {("r1", "live@1~s@1"): 1}


@pytest.fixture
def quiet(log: Log) -> Log:
    """A judge that has read everything, at hour 40: comparisons up to hour 15 are over."""
    log.now_ms = 40 * HOUR_MS
    log.tick()
    return log


def late(log: Log, hour: int, sent: Sent) -> None:
    log.topics[sent[0]].append((sent, hour * HOUR_MS))
    log.step(sent[0], 1)


def test_a_comparison_that_comes_after_its_time_is_counted_as_expired_at_once(quiet: Log) -> None:
    late(quiet, 15, comparison(1))
    assert (quiet.books()["comparisons"]["expired"], quiet.books()["comparisons"]["waiting"]) == (1, 0)
    assert left_in_store(quiet) == []


def test_a_label_is_kept_for_comparisons_that_may_still_come(log: Log) -> None:
    log.send([label(1, 1)])
    log.step("labels", 1)
    log.now_ms = 40 * HOUR_MS
    log.tick()
    late(log, HORIZON, comparison(1))
    assert log.found().total() == 1


def test_what_is_over_before_it_is_written_expires_too(log: Log) -> None:
    log.send([comparison(1)])
    log.stage.process([log.piece("comparisons", 0, 1)], 0)
    log.stage.tick(40 * HOUR_MS, {("comparisons", 0): 0, ("labels", 0): 0})
    (_, _, books), *_ = log.stage.checkpoint(0).records["judge-changelog"]
    assert json.loads(books or b"")["comparisons"]["expired"] == 1


def test_what_has_expired_is_not_judged_even_if_a_crash_kept_it(log: Log) -> None:
    log.send([comparison(1)])
    log.step("comparisons", 1)
    log.now_ms = 40 * HOUR_MS
    log.tick(die="after commit")
    late(log, 10, label(1, 1))
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (0, 0, 1)


Event = tuple[int, int, Sent]
"""The hour in which a record is sent, the hour that Kafka says, and the record."""


def traffic(chance: random.Random, stragglers: float) -> list[Event]:
    """Comparisons and labels; many labels come early, twice, late or never, and `stragglers` bear a wrong time."""
    sent: list[tuple[int, Sent]] = []
    for number in range(100):
        hour = chance.randint(2 * HORIZON, 10 * HORIZON)
        shadows = [(hour, "s"), (hour + chance.randint(0, 2 * HORIZON), "t")]
        sent += [(when, comparison(number, shadow)) for when, shadow in shadows]
        labels = chance.choice([0, 1, 1, 1, 2, 3])
        sent += [(hour + chance.randint(-HORIZON - 3, 2 * HORIZON), label(number, value)) for value in range(labels)]
    events: list[Event] = []
    for hour, record in sorted(sent, key=lambda event: event[0]):
        wrong = chance.choice([-50, -26, -25, -24, -10, -1, 1, 10]) if chance.random() < stragglers else 0
        events.append((hour, max(0, hour + wrong), record))
    return events


def judged_by_rule(events: list[Event]) -> dict[tuple[str, str, object], int]:
    """What has to stand: each comparison under the last label no more than the horizon before or after it."""
    known: dict[bytes | None, list[tuple[int, object]]] = {}
    for _, hour, (topic, key, value) in events:
        if topic == "labels":
            known.setdefault(key, []).append((hour, json.loads(value or b"")["label"]))
    found: Counter[tuple[str, str, object]] = Counter()
    for _, hour, (topic, key, value) in events:
        near = [one for other, one in known.get(key, []) if abs(hour - other) <= HORIZON]
        if topic == "comparisons" and near:
            record = json.loads(value or b"")
            found[record["request_id"], record["trial"], near[-1]] += 1
    return dict(found)


def run_with_kills(log: Log, events: list[Event], chance: random.Random) -> None:
    """Send all events as time goes on; kill the worker at any moment, and take its folder away now and then."""
    left, home = list(events), log.folder
    while left or any(log.left().values()):
        log.now_ms += chance.choice([0, 0, HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS])
        while left and left[0][0] * HOUR_MS <= log.now_ms:
            _, hour, sent = left.pop(0)
            log.topics[sent[0]].append((sent, hour * HOUR_MS + chance.randint(0, HOUR_MS - 1)))
        for _ in range(chance.randint(0, 3)):
            moment = chance.choice(["", "", "", "before commit", "after commit", "after write"])
            if chance.random() < 0.05:
                log.folder = home / f"elsewhere-{chance.randint(0, 2)}"  # new, or left there long ago
                log.restart()
            log.step(chance.choice(["comparisons", "labels"]), chance.randint(1, 20), die=moment)
            log.tick(die=chance.choice(["", "", "before commit", "after commit"]))
        for side in log.books().values() if log.kept else ():
            assert side.pop("read") == sum(side.values())
            assert min(side.values()) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere_each_comparison_is_judged_or_expires_once(
    log: Log, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_stage, "ENTRIES_PER_TICK", 7)
    events = traffic(random.Random(seed), stragglers=0)
    expected, compared = judged_by_rule(events), sum(sent[0] == "comparisons" for *_, sent in events)
    run_with_kills(log, events, random.Random(seed))
    assert log.standing() == expected
    expire(log)
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (len(expected), 0, compared - len(expected))
    assert left_in_store(log) == []


@pytest.mark.parametrize("seed", range(4))
def test_wrong_times_may_cost_a_label_but_never_the_books(log: Log, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_stage, "ENTRIES_PER_TICK", 7)
    events = traffic(random.Random(seed), stragglers=0.3)
    compared = sum(sent[0] == "comparisons" for *_, sent in events)
    run_with_kills(log, events, random.Random(seed))
    standing = log.standing()
    assert set(standing.values()) == {1}
    found = {(identity, trial) for identity, trial, _ in standing}
    assert found <= {(identity, trial) for identity, trial, _ in judged_by_rule(events)}
    expire(log)
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (len(found), 0, compared - len(found))
    assert left_in_store(log) == []
