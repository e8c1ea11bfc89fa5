"""The judge over lists, with its real store: each comparison meets its label once, whatever order and faults."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rocksdict import Options, Rdict

from shadowbus.compare import make_comparator
from shadowbus.judge import stage as judge_stage
from shadowbus.judge.entry import Entry
from shadowbus.judge.pending import Pending
from shadowbus.judge.stage import JudgeStage
from shadowbus.records import Answered, Outcome, decode
from shadowbus.settings import parse_settings
from shadowbus.stage import Input, Outputs, Slice

HORIZON = 24
HOUR_MS = 3_600_000
SETTINGS = parse_settings({"namespace": "n", "judge": {"horizon_days": HORIZON / 24}}, Path("shadow.toml"), {})
Sent = tuple[str, bytes | None, bytes | None]


def open_stage(folder: Path) -> JudgeStage:
    comparators = {"s": make_comparator("classification", {}), "t": make_comparator("classification", {})}
    return JudgeStage(frozenset({0}), settings=SETTINGS, comparators=comparators, folder=folder, worker="w")


def comparison(number: int, shadow: str = "s", **changes: object) -> Sent:
    live = {"model": "live@1", "prediction": number % 2, "scores": None}
    record = {
        "v": 1,
        "request_id": f"r{number}",
        "timestamp_ms": number,
        "trial": f"live@1~{shadow}@1",
        "status": "compared",
        "live": live,
        "shadow": {**live, "prediction": number % 3},
        "segments": {"country": "DE"},
    }
    return "comparisons", b"r%d" % number, json.dumps({**record, **changes}).encode()


def label(number: int, value: object) -> Sent:
    return (
        "labels",
        b"r%d" % number,
        json.dumps({"request_id": f"r{number}", "timestamp_ms": 7, "label": value}).encode(),
    )


def labelled(number: int, value: object, **more: object) -> Sent:
    return "labels", b"r%d" % number, json.dumps({"timestamp_ms": 7, "label": value, **more}).encode()


class Log:
    """Two input topics as lists, a consumer's committed positions over them, and what was committed with them.

    `now_ms` moves by hand; a record's time in Kafka is when it was sent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_ms = folder, 0
        self.topics = {"comparisons": list[tuple[Sent, int]](), "labels": list[tuple[Sent, int]]()}
        self.taken = dict.fromkeys(self.topics, 0)
        self.kept: list[bytes] = []
        self.outcomes: list[bytes] = []
        self.letters: list[dict[str, Any]] = []
        self.restarts = 0
        self.stage = open_stage(folder)
        self.stage.resume_at({})

    def send(self, records: Iterable[Sent]) -> None:
        for record in records:
            self.topics[record[0]].append((record, self.now_ms))

    def piece(self, topic: str, start: int, stop: int) -> Slice:
        rows = self.topics[topic][start:stop]
        keys, values = [row[0][1] for row in rows], [row[0][2] for row in rows]
        return Slice(topic, 0, keys, values, [row[1] for row in rows], list(range(start, stop)))

    def left(self) -> Mapping[Input, int]:
        return {(topic, 0): len(records) - self.taken[topic] for topic, records in self.topics.items()}

    def step(self, topic: str, count: int, *, die: str = "") -> None:
        """Process and commit some records; `die` is the moment at which the worker is killed."""
        start, stop = self.taken[topic], min(self.taken[topic] + count, len(self.topics[topic]))
        if start == stop:
            return
        outputs = self.stage.process([self.piece(topic, start, stop)], self.now_ms)
        self._end(
            outputs,
            {(name, 0): left - (stop - start) * (name == topic) for (name, _), left in self.left().items()},
            die,
        )

    def tick(self, *, die: str = "") -> None:
        """Let time pass, and commit what comes of it."""
        self._end(Outputs(), self.left(), die)

    def _end(self, outputs: Outputs, lags: Mapping[Input, int], die: str) -> None:
        self.stage.tick(self.now_ms, lags)
        if die != "before commit":
            self._commit(outputs, self.stage.checkpoint(self.now_ms))
            if die != "after commit":
                self.stage.committed()
        if die:
            self.restart()

    def _commit(self, outputs: Outputs, checkpoint: Outputs) -> None:
        for (topic, _), offset in outputs.positions.items():
            self.taken[topic] = offset
        self.outcomes += [value for _, _, value in outputs.records.get("outcomes", []) if value]
        self.letters += [json.loads(value) for _, _, value in outputs.records.get("dead-letters", []) if value]
        for _, key, value in checkpoint.records.get("judge-changelog", []):
            assert key == b"books"
            assert value is not None
            self.kept.append(value)

    def restart(self) -> None:
        """Read all kept state back: the books, then two topics, each in its order, in any order between them."""
        self.stage.close()
        self.stage = open_stage(self.folder)
        self.restarts += 1
        chance = random.Random(self.restarts)
        committed: dict[Input, int] = {(topic, 0): offset for topic, offset in self.taken.items()}
        books: list[bytes | None] = [*self.kept[-2:]]
        count = len(books)
        self.stage.restore(Slice("judge-changelog", 0, [b"books"] * count, books, [0] * count, [*range(count)]))
        resume = self.stage.resume_at(committed)
        ahead: dict[str, list[Slice]] = {}
        for topic, stop in self.taken.items():
            starts = [*range(resume[topic, 0], stop, 7)]
            ahead[topic] = [self.piece(topic, start, min(start + 7, stop)) for start in starts]
        while left := [pieces for pieces in ahead.values() if pieces]:
            self.stage.restore(chance.choice(left).pop(0))

    def books(self) -> dict[str, dict[str, int]]:
        document = json.loads(self.kept[-1])
        return {side: document[side] for side in ("comparisons", "labels")}

    def found(self) -> Counter[tuple[str, str]]:
        return Counter((record["request_id"], record["trial"]) for record in map(json.loads, self.outcomes))


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
    log.send([comparison(1, weight=2.0, agree=False), labelled(1, 1, probability=0.25)])
    for wrong in (0, -0.5, 1.5, "1", True, [1]):
        log.send([labelled(1, 1, probability=wrong)])
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
        "labels": {"read": 5, "kept": 1, "duplicates": 1, "too_old": 0, "dead_lettered": 3, "never_read": 0},
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


def expire(log: Log) -> None:
    """Let more than two horizons pass, also for records whose time was ahead."""
    log.now_ms += (2 * HORIZON + 12) * HOUR_MS
    for _ in range(30 if judge_stage.MARKS_PER_TICK > 100 else 300):
        log.tick()


def left_in_store(log: Log) -> list[object]:
    log.stage.close()
    database = Rdict(str(log.folder / "0"), Options(raw_mode=True))
    rows: list[object] = [key for key in database.keys() if key not in (b"\x00positions", b"\x00state")]  # noqa: SIM118
    database.close()
    return rows


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


def test_the_same_comparison_twice_waits_twice(log: Log) -> None:
    log.send([comparison(1), comparison(1)])
    log.step("comparisons", 2)
    log.restart()
    log.send([label(1, 1)])
    log.step("labels", 1)
    assert (log.books()["comparisons"]["judged"], log.books()["comparisons"]["waiting"]) == (2, 0)


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


def judged_by_rule(events: list[Event]) -> Counter[tuple[str, str]]:
    """What has to be judged: comparisons with a label no more than the horizon before or after them."""
    known: dict[bytes | None, list[int]] = {}
    for _, hour, (topic, key, _) in events:
        if topic == "labels":
            known.setdefault(key, []).append(hour)
    compared = [(hour, key, value or b"") for _, hour, (topic, key, value) in events if topic == "comparisons"]
    return Counter(
        (record["request_id"], record["trial"])
        for hour, key, record in ((hour, key, json.loads(value)) for hour, key, value in compared)
        if any(abs(hour - other) <= HORIZON for other in known.get(key, []))
    )


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
    monkeypatch.setattr(judge_stage, "MARKS_PER_TICK", 7)
    events = traffic(random.Random(seed), stragglers=0)
    expected, compared = judged_by_rule(events), sum(sent[0] == "comparisons" for *_, sent in events)
    run_with_kills(log, events, random.Random(seed))
    assert log.found() == expected
    expire(log)
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (expected.total(), 0, compared - expected.total())
    assert left_in_store(log) == []


@pytest.mark.parametrize("seed", range(4))
def test_wrong_times_may_cost_a_label_but_never_the_books(log: Log, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_stage, "MARKS_PER_TICK", 7)
    events = traffic(random.Random(seed), stragglers=0.3)
    compared = sum(sent[0] == "comparisons" for *_, sent in events)
    run_with_kills(log, events, random.Random(seed))
    found = log.found()
    assert found <= judged_by_rule(events)
    expire(log)
    books = log.books()["comparisons"]
    assert (books["judged"], books["waiting"], books["expired"]) == (found.total(), 0, compared - found.total())
    assert left_in_store(log) == []


KILLED_AFTER_A_WRITE = """
import os, signal, sys
from pathlib import Path
from shadowbus.judge.entry import Entry
from shadowbus.judge.pending import Pending

pending = Pending(Path(sys.argv[1]))
for batch in range(20):
    for number in range(500):
        entry = Entry()
        entry.add_label(batch, number, 7, 24)
        pending.change(b"%d-%d" % (batch, number), entry)
        pending.mark(batch + 24, b"%d-%d" % (batch, number))
    if batch < 19:
        pending.write({"labels": 500 * (batch + 1)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):  # the second run opens, and writes over, what a kill has left
        killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_A_WRITE, tmp_path], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL
    pending = Pending(tmp_path)
    ids = [[b"%d-%d" % (batch, number) for number in range(500)] for batch in range(20)]
    assert pending.positions() == {"labels": 19 * 500}
    for batch, keys in enumerate(ids[:19]):
        found = pending.entries(keys)
        assert [found[key].labels[0][:3] for key in keys] == [(batch, batch, number) for number in range(500)]
    assert not any(pending.entries(ids[19]).values())
    marks = pending.take_marks((99, b""), 10_000)
    assert marks == sorted((batch + 24, key) for batch, keys in enumerate(ids[:19]) for key in keys)
    pending.close()


def test_a_store_that_is_opened_again_and_again_loses_nothing(tmp_path: Path) -> None:
    for number in range(30):
        pending = Pending(tmp_path)
        entry = Entry()
        entry.add_label(0, number, 7, 24)
        pending.change(b"%d" % number, entry)
        pending.write({"labels": number + 1})
        pending.close()
        pending = Pending(tmp_path)
        assert pending.positions() == {"labels": number + 1}
        assert all(pending.entries(b"%d" % known for known in range(number + 1)).values())
        pending.close()
