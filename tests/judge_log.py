"""The judge over lists, with its real store: two topics, a consumer's positions, kills, and what was committed."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict

from shadowbus.compare import make_comparator
from shadowbus.judge import stage as judge_stage
from shadowbus.judge.stage import JudgeStage
from shadowbus.settings import parse_settings
from shadowbus.stage import Input, Outputs, RecordBatch

HORIZON = 24
HOUR_MS = 3_600_000
SETTINGS = parse_settings({"namespace": "n", "judge": {"horizon_days": HORIZON / 24}}, Path("shadow.toml"), {})
Sent = tuple[str, bytes | None, bytes | None]


def open_stage(folder: Path) -> JudgeStage:
    comparators = {"s": make_comparator("classification", {}), "t": make_comparator("classification", {})}
    return JudgeStage(frozenset({0}), settings=SETTINGS, comparators=comparators, folder=folder, worker="w")


def comparison(number: int, of: str = "s", **changes: object) -> Sent:
    live = {"model": "live@1", "prediction": number % 2, "scores": None}
    record = {
        "v": 1,
        "request_id": f"r{number}",
        "timestamp_ms": number,
        "trial": f"live@1~{of}@1",
        "status": "compared",
        "live": live,
        "shadow": {**live, "prediction": number % 3},
        "segments": {"country": "DE"},
    }
    return "comparisons", b"r%d" % number, json.dumps({**record, **changes}).encode()


def label(number: int, value: object, **more: object) -> Sent:
    record = {"request_id": f"r{number}", "timestamp_ms": 7, "label": value, **more}
    return "labels", b"r%d" % number, json.dumps(record).encode()


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

    def piece(self, topic: str, start: int, stop: int) -> RecordBatch:
        rows = self.topics[topic][start:stop]
        keys, values = [row[0][1] for row in rows], [row[0][2] for row in rows]
        return RecordBatch(topic, 0, keys, values, [row[1] for row in rows], list(range(start, stop)))

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
        self.stage.restore(RecordBatch("judge-changelog", 0, [b"books"] * count, books, [0] * count, [*range(count)]))
        resume = self.stage.resume_at(committed)
        ahead: dict[str, list[RecordBatch]] = {}
        for topic, stop in self.taken.items():
            starts = [*range(resume[topic, 0], stop, 7)]
            ahead[topic] = [self.piece(topic, start, min(start + 7, stop)) for start in starts]
        while left := [pieces for pieces in ahead.values() if pieces]:
            self.stage.reread(chance.choice(left).pop(0))

    def books(self) -> dict[str, dict[str, int]]:
        document = json.loads(self.kept[-1])
        return {side: document[side] for side in ("comparisons", "labels")}

    def found(self) -> Counter[tuple[str, str]]:
        return Counter((record["request_id"], record["trial"]) for record in map(json.loads, self.outcomes))

    def standing(self) -> dict[tuple[str, str, object], int]:
        """What the outcomes add up to: how often each comparison counts under each label, where not 0."""
        found: Counter[tuple[str, str, object]] = Counter()
        for record in map(json.loads, self.outcomes):
            found[record["request_id"], record["trial"], record["label"]] += -1 if record["retracts"] else 1
        return {key: count for key, count in found.items() if count}


def expire(log: Log) -> None:
    """Let more than two horizons pass, also for records whose time was ahead."""
    log.now_ms += (2 * HORIZON + 12) * HOUR_MS
    for _ in range(30 if judge_stage.ENTRIES_PER_TICK > 100 else 300):
        log.tick()


def left_in_store(log: Log) -> list[object]:
    """The keys of the entries that are left; closes the store."""
    log.stage.close()
    database = Rdict(str(log.folder / "0"), Options(raw_mode=True))
    rows: list[object] = [key for key in database.keys() if isinstance(key, bytes) and key[:1] == b"e"]  # noqa: SIM118
    database.close()
    return rows
