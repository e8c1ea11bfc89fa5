"""The judge over lists, with its real store: each comparison meets its label once, whatever order and faults."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shadowbus.compare import make_comparator
from shadowbus.judge.stage import JudgeStage
from shadowbus.records import Outcome, decode
from shadowbus.settings import parse_settings
from shadowbus.stage import Input, Outputs, Slice

SETTINGS = parse_settings({"namespace": "n"}, Path("shadow.toml"), {})
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


class Log:
    """Two input topics as lists, a consumer's committed positions over them, and what was committed with them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.topics = folder, {"comparisons": list[Sent](), "labels": list[Sent]()}
        self.taken = dict.fromkeys(self.topics, 0)
        self.kept: dict[bytes, bytes] = {}
        self.outcomes: list[bytes] = []
        self.letters: list[dict[str, Any]] = []
        self.stage = open_stage(folder)

    def send(self, records: Iterable[Sent]) -> None:
        for record in records:
            self.topics[record[0]].append(record)

    def piece(self, topic: str, start: int, stop: int) -> Slice:
        rows = self.topics[topic][start:stop]
        return Slice(topic, 0, [r[1] for r in rows], [r[2] for r in rows], [0] * len(rows), list(range(start, stop)))

    def step(self, topic: str, count: int, *, die: str = "") -> None:
        """Process and commit some records; `die` is the moment at which the worker is killed."""
        start, stop = self.taken[topic], min(self.taken[topic] + count, len(self.topics[topic]))
        if start == stop:
            return
        outputs = self.stage.process([self.piece(topic, start, stop)], 1)
        if die != "before commit":
            self._commit(outputs, self.stage.checkpoint(1))
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
            assert key is not None
            assert value is not None
            self.kept[key] = value

    def restart(self) -> None:
        self.stage.close()
        self.stage = open_stage(self.folder)
        committed: dict[Input, int] = {(topic, 0): offset for topic, offset in self.taken.items()}
        resume = self.stage.resume_at(committed)
        keys: list[bytes | None] = list(self.kept)
        self.stage.restore(
            Slice("judge-changelog", 0, keys, list(self.kept.values()), [0] * len(keys), [0] * len(keys))
        )
        for topic in random.Random(self.taken["labels"]).sample(sorted(self.topics), 2):
            if resume[topic, 0] < committed[topic, 0]:
                self.stage.restore(self.piece(topic, resume[topic, 0], committed[topic, 0]))

    def books(self) -> dict[str, dict[str, int]]:
        document: dict[str, dict[str, int]] = json.loads(self.kept[b"books"])
        return document

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
        "labels": {"read": 5, "kept": 1, "duplicates": 1, "dead_lettered": 3},
        "comparisons": {"read": 2, "not_compared": 1, "judged": 0, "waiting": 0, "dead_lettered": 1},
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
