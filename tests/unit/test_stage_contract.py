"""Every stage keeps the contract of `stage.py`: the same laws over the same kind of log, whatever the stage does.

A stage joins the suite with one line in `CASES`.
"""

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

import judge_log
import random_log
from fakes.instant_model import InstantModel
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.compare import make_comparator
from shadowbus.decide.stage import DecideStage
from shadowbus.rekey.stage import RekeyStage
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import RekeySettings, Settings, parse_settings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage

NOW_MS = 10_000
BATCH = 7
HOSTILE = (None, b"", b"\xff\xfe", b"[]", b"{}", b'{"request_id": 7}', b'{"timestamp_ms": 1e400}', b"[" * 5_000)
REPLAY = parse_settings(
    {"namespace": "n", "shadow": [{"name": "s", "model": "m", "task": "regression"}]}, Path("shadow.toml"), {}
)
REKEY = Settings("n", partitions=1, rekey=RekeySettings(requests="raw", predictions="raw-answers"))
Topics = Mapping[str, list[tuple[bytes, bytes | None]]]


@dataclass(frozen=True)
class Case:
    """A stage over partition 0: how to open it, what it reads, and the topic that holds its state."""

    name: str
    open: Callable[[Path], Stage]
    inputs: Callable[[], Topics]
    changelog: str = ""

    def topics(self) -> Topics:
        """Its input, with hostile records strewn in."""
        rng, found = random.Random(self.name), {}
        for topic, rows in self.inputs().items():
            mixed: list[tuple[bytes, bytes | None]] = list(rows)
            for value in HOSTILE:
                mixed.insert(rng.randrange(len(mixed) + 1), (b"hostile", value))
            found[topic] = mixed
        return found


def replay_stage(_: Path) -> ReplayStage:
    return ReplayStage(
        frozenset({0}),
        settings=REPLAY,
        shadow=REPLAY.shadow[0],
        model=cast(ModelProcess, InstantModel()),
        comparator=make_comparator("regression", {}),
        worker="w",
    )


def pairs() -> Topics:
    ids = [f"r{number}" for number in range(60)]
    requests = [{"request_id": one, "timestamp_ms": NOW_MS, "features": {"x": n}} for n, one in enumerate(ids)]
    predictions = [
        {"request_id": one, "timestamp_ms": NOW_MS, "model": "live@1", "prediction": 2 * n}
        for n, one in reversed([*enumerate(ids)])
    ]
    return {"requests": rows(requests), "predictions": rows(predictions)}


def raw() -> Topics:
    return {f"rekey-{topic}": values for topic, values in pairs().items()}


def rows(records: list[dict[str, object]]) -> list[tuple[bytes, bytes | None]]:
    return [(str(record["request_id"]).encode(), json.dumps(record).encode()) for record in records]


def labelled() -> Topics:
    sent = [judge_log.comparison(n) for n in range(40)], [judge_log.label(n % 30, n % 2) for n in range(50)]
    return {topic: [(key or b"", value) for _, key, value in part] for part in sent for topic in [part[0][0]]}


def judged() -> Topics:
    log = random_log.Log(5, 60)
    return {topic: [(b"k", value) for value in values] for (topic, source), values in log.topics.items() if not source}


ONE = dataclasses.replace(random_log.SETTINGS, partitions=1)


def partials() -> Topics:
    stage, found = AggregateStage(frozenset({0}), ONE), list[tuple[bytes, bytes | None]]()
    for topic, records in judged().items():
        for start in range(0, len(records), 20):
            values = [value for _, value in records[start : start + 20]]
            nothing, offsets = [NOW_MS] * len(values), [*range(start, start + len(values))]
            stage.process([RecordBatch(topic, 0, [b"k"] * len(values), [*values], nothing, offsets)], NOW_MS)
            found += [(key or b"", value) for _, key, value in stage.checkpoint(NOW_MS).records.get("partials", [])]
    return {"partials": found}


CASES = [
    Case("rekey", lambda _: RekeyStage(REKEY), raw),
    Case("replay", replay_stage, pairs, "replay-changelog"),
    Case("judge", judge_log.open_stage, labelled, "judge-changelog"),
    Case("aggregate", lambda _: AggregateStage(frozenset({0}), random_log.SETTINGS), judged, "partials"),
    Case("decide", lambda _: DecideStage(frozenset({0}), ONE, spent=lambda: 0.0), partials, "verdicts"),
]
every_stage = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


class Worker:
    """What the loop does with a stage, over lists: positions and records are committed as one, or not at all."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.topics = case, folder, case.topics()
        self.committed: dict[Input, int] = dict.fromkeys(((topic, 0) for topic in self.topics), 0)
        self.read = dict(self.committed)
        self.log: list[tuple[str, int, bytes | None, bytes | None]] = []
        self.pending = Outputs()
        self.stage = case.open(folder)
        self._restore()

    def batch(self, topic: str, start: int, end: int) -> RecordBatch:
        part = self.topics[topic][start:end]
        keys: list[bytes | None] = [key for key, _ in part]
        return RecordBatch(topic, 0, keys, [value for _, value in part], [NOW_MS] * len(part), [*range(start, end)])

    def step(self) -> bool:
        """Process one batch of each input; whether there was one."""
        batches: list[RecordBatch] = []
        for topic, records in self.topics.items():
            start, end = self.read[topic, 0], min(self.read[topic, 0] + BATCH, len(records))
            if start < end and (topic, 0) not in self.stage.paused():
                batches.append(self.batch(topic, start, end))
                self.read[topic, 0] = end
        if batches:
            self.take(self.stage.process(batches, NOW_MS))
        lags = {key: len(self.topics[key[0]]) - at for key, at in self.read.items()}
        self.take(self.stage.tick(NOW_MS, lags))
        return bool(batches)

    def take(self, outputs: Outputs) -> None:
        for key, position in outputs.positions.items():
            before = self.pending.positions.get(key, self.committed[key])
            assert before <= position <= self.read[key], "a position moved back, or ahead of the input"
            self.pending.positions[key] = position
        for topic, found in outputs.records.items():
            self.pending.extend(topic, found)
        for topic, stamped in outputs.stamped.items():
            self.pending.extend(topic, [row[:3] for row in stamped])

    def commit(self) -> None:
        self.take(self.stage.checkpoint(NOW_MS))
        self.committed.update(self.pending.positions)
        self.log += [(topic, *row) for topic, found in self.pending.records.items() for row in found]
        self.pending = Outputs()

    def finish(self) -> None:
        while self.step():
            self.commit()
            self.stage.committed()
        self.take(self.stage.drain(NOW_MS))
        self.commit()
        self.stage.committed()

    def restart(self) -> None:
        """What a kill -9 leaves, and the next worker does."""
        self.stage.close()
        self.pending, self.read = Outputs(), dict(self.committed)
        self.stage = self.case.open(self.folder)
        self._restore()

    def _restore(self) -> None:
        for topic, partition, key, value in self.log:
            if topic == self.case.changelog:
                self.stage.restore(RecordBatch(topic, partition, [key], [value], [NOW_MS], [0]))
        resume = self.stage.resume_at(self.committed)
        for (topic, partition), start in resume.items():
            end = self.committed[topic, partition]
            assert 0 <= start <= end
            if start < end:
                self.stage.reread(self.batch(topic, start, end))
        self.stage.lost({})

    def written(self) -> Counter[tuple[str, bytes | None]]:
        """How often each key was written, to each topic that is no state."""
        of_state = {self.case.changelog, "vitals"}
        return Counter((topic, key) for topic, _, key, _ in self.log if topic not in of_state)

    def state(self) -> set[bytes | None]:
        """The keys that the changelog keeps."""
        newest = {key: value for topic, _, key, value in self.log if topic == self.case.changelog}
        return {key for key, value in newest.items() if value is not None}


def worker(case: Case, folder: Path) -> Worker:
    folder.mkdir(exist_ok=True)
    return Worker(case, folder)


@every_stage
def test_hostile_records_raise_nothing_and_all_input_is_accounted_for(case: Case, tmp_path: Path) -> None:
    one = worker(case, tmp_path)
    one.finish()
    assert one.committed == {(topic, 0): len(records) for topic, records in one.topics.items()}
    assert sum(count for (topic, _), count in one.written().items() if topic == "dead-letters") > 0
    one.stage.close()


@every_stage
@pytest.mark.parametrize("killed", ["before the commit", "after the commit", "after the stage was told"])
def test_a_kill_after_each_batch_changes_nothing_that_readers_see(case: Case, tmp_path: Path, killed: str) -> None:
    calm = worker(case, tmp_path / "calm")
    calm.finish()
    shaken, steps = worker(case, tmp_path / "shaken"), 0
    while True:
        if killed == "before the commit":
            shaken.step()
            shaken.restart()
        if not shaken.step():
            break
        shaken.commit()
        if killed == "after the stage was told":
            shaken.stage.committed()
        shaken.restart()
        steps += 1
    shaken.finish()
    assert steps > 3
    assert shaken.committed == calm.committed
    assert shaken.written() == calm.written()
    assert shaken.state() == calm.state()


@every_stage
def test_where_nothing_is_new_there_is_nothing_to_commit(case: Case, tmp_path: Path) -> None:
    one = worker(case, tmp_path)
    one.finish()
    one.take(one.stage.tick(NOW_MS, dict.fromkeys(one.committed, 0)))
    one.take(one.stage.checkpoint(NOW_MS))
    assert not one.pending.positions
    assert not {topic for topic in one.pending.records if topic != "vitals"}
    one.stage.close()


@every_stage
def test_a_stage_that_saw_no_input_can_be_closed(case: Case, tmp_path: Path) -> None:
    case.open(tmp_path).close()
