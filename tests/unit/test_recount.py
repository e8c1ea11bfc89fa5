"""A verdict is the same however its records were batched, ordered and restarted, and is had again from the records."""

import dataclasses
import random

import orjson
import pytest

from downstream import Downstream
from random_log import DOCUMENT, SETTINGS, SOURCES, TRIAL, TWIN, WITHOUT_GUARDS, Log, settings
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.decide.verify import Recount
from shadowbus.errors import Malformed
from shadowbus.gates import Gate
from shadowbus.records import Verdict, decode, encode
from shadowbus.settings import Settings
from shadowbus.stage import RecordBatch


def aggregated(log: Log, rng: random.Random, most: int, board: Downstream, looks: float = 0.0) -> list[bytes]:
    """All of a log through the stage in random batches, with restarts, and the partials before a board.

    The last record of each input comes in the last commit.

    Returns:
        The verdicts on the trial, as they were published.
    """
    found: list[bytes] = []
    kept: dict[bytes | None, tuple[int, bytes | None]] = {}
    stage = AggregateStage(frozenset(SOURCES), SETTINGS)
    done = dict.fromkeys(log.topics, 0)
    ends = {key: len(values) - 1 for key, values in log.topics.items()}
    while left := [key for key in done if done[key] < ends[key]]:
        topic, source = key = rng.choice(left)
        piece = log.slice(topic, source, done[key], min(ends[key], done[key] + rng.randint(1, most)))
        stage.process([piece], 1_000)
        done[key] += len(piece.offsets)
        if rng.random() < 0.3:
            rows = stage.checkpoint(1_000).records.get("partials", [])
            kept.update({name: (target, value) for target, name, value in rows})
            for _, name, value in rows:
                board.take(name, value)
            if rng.random() < looks:
                found += [one.value for one in board.publish() if one.key == TRIAL.encode() and one.value]
            if rng.random() < 0.2:
                stage = AggregateStage(frozenset(SOURCES), SETTINGS)
                for target in range(SETTINGS.partitions):
                    mine = {name: value for name, (at, value) in kept.items() if at == target}
                    stage.restore(
                        RecordBatch("partials", target, [*mine], [*mine.values()], [0] * len(mine), [0] * len(mine))
                    )
                stage.resume_at({key: 2 * number for key, number in done.items()})
    stage.process([log.slice(*key, end, end + 1) for key, end in ends.items()], 1_000)
    for _, name, value in stage.checkpoint(1_000).records["partials"]:
        board.take(name, value)
    rest = board.publish()
    return found + [one.value for one in rest if one.key == TRIAL.encode() and one.topic == "verdicts" and one.value]


def read_again(log: Log, value: bytes, rng: random.Random, used: Settings = SETTINGS) -> bytes:
    """What a recount of a verdict gives, from the log alone, in random batches."""
    again = Recount(decode(Verdict, value), used)
    pieces = []
    for (topic, source), (first, after) in again.ranges.items():
        values: list[bytes | None] = [*log.between(topic, source, first, after)]
        while values:
            size = rng.randint(1, 40)
            part, values = values[:size], values[size:]
            pieces.append(RecordBatch(topic, source, [b""] * len(part), part, [0] * len(part), [0] * len(part)))
    counted = [piece for piece in pieces if piece.topic != "vitals"]
    rng.shuffle(counted)
    for piece in (*counted, *(piece for piece in pieces if piece.topic == "vitals")):
        again.take(piece)
    return encode(again.result())


def test_the_bytes_of_a_verdict_do_not_depend_on_batches_order_between_inputs_or_restarts() -> None:
    log = Log(1, 100)
    results = set()
    for seed, most in enumerate((1, 7, 50, 300)):
        (value,) = aggregated(log, random.Random(seed), most, Downstream(SETTINGS))
        verdict = orjson.loads(value)
        verdict["evidence"]["clocks"] = {}  # how long ago books last changed, which is not of the records
        results.add(orjson.dumps(verdict))
    assert len(results) == 1
    verdict = orjson.loads(results.pop())
    inputs = verdict["evidence"]["inputs"]
    assert verdict["requests"] > 90
    assert inputs["counts"]["loss_m2"] > 0
    assert inputs["counts"]["value_n"] > 0
    assert inputs["floor"]["compared"] > 0
    assert inputs["counts"]["slowdown_n"] > 2
    assert inputs["cpu_ms_per_row"] > 0
    assert verdict["evidence"]["models"] == ["ab" * 32]


def test_every_verdict_that_was_published_is_had_again_from_the_records_it_names() -> None:
    log, rng = Log(3, 150), random.Random(3)
    published = aggregated(log, rng, 40, Downstream(SETTINGS), looks=1.0)
    assert len(published) > 3
    for value in published:
        assert read_again(log, value, rng) == value


def test_where_more_names_come_up_than_are_kept_apart_it_does_not_matter_which_were_read_first() -> None:
    log, rng = Log(4, 400, values=300, classes=40), random.Random(4)
    (value,) = aggregated(log, rng, 100, Downstream(WITHOUT_GUARDS))
    assert {source: [*kinds] for source, kinds in orjson.loads(value)["evidence"]["full"].items()} == {
        "0": ["segments", "classes"],
        "1": ["segments", "classes"],
    }
    assert read_again(log, value, rng, WITHOUT_GUARDS) == value


def test_a_trial_begins_at_its_first_record_or_that_of_the_control_beside_it() -> None:
    log = Log(5, 60)
    for source in SOURCES:
        log.topics["comparisons", source][:20] = [b"{}"] * 20
    (value,) = aggregated(log, random.Random(1), 9, Downstream(SETTINGS))
    for source in SOURCES:
        first, after = orjson.loads(value)["evidence"]["offsets"]["comparisons"][str(source)]
        ours = [
            number
            for number, one in enumerate(log.topics["comparisons", source])
            if TRIAL.encode() in one or TWIN.encode() in one
        ]
        assert (first, after) == (2 * ours[0] + 1, 2 * 61)


@pytest.mark.parametrize("topic", ["comparisons", "outcomes", "vitals"])
def test_one_record_that_is_another_gives_another_verdict(topic: str) -> None:
    log, rng = Log(6, 100), random.Random(6)
    (value,) = aggregated(log, rng, 50, Downstream(SETTINGS))
    mine = [number for number, one in enumerate(log.topics[topic, 0]) if TRIAL.encode() in one]
    changed = orjson.loads(log.topics[topic, 0][mine[-1]])
    if topic == "comparisons":
        changed["agree"] = not changed["agree"]
    elif topic == "outcomes":
        changed["shadow_loss"] += 1.0
    else:
        changed["books"]["requests"]["read"] += 1
    log.topics[topic, 0][mine[-1]] = orjson.dumps(changed)
    assert read_again(log, value, rng) != value


def test_a_verdict_is_had_again_with_its_own_gate_whatever_the_settings_say_now() -> None:
    log, rng = Log(7, 100), random.Random(7)
    (value,) = aggregated(log, rng, 50, Downstream(SETTINGS))
    other = settings(gate={**DOCUMENT["gate"], "alpha": 0.01}, cost=[])
    assert read_again(log, value, rng, other) == value
    moved = [{**shadow, "model": "elsewhere", "memory_mb": 77} for shadow in DOCUMENT["shadow"]]
    same = settings(shadow=moved, worker={"commit_ms": 17}, aggregate={"window_seconds": 7})
    assert read_again(log, value, rng, same) == value


def test_evidence_that_is_no_evidence_is_named() -> None:
    verdict = Verdict(TRIAL, "PROMOTE", [], 0, 0, {}, 1, evidence={"offsets": {"comparisons": {"0": "x"}}})
    verdict = dataclasses.replace(verdict, gate={"settings": dict(Gate.of(SETTINGS, "new").tables)})
    with pytest.raises(Malformed, match="offsets"):
        Recount(verdict, SETTINGS)
    with pytest.raises(Malformed, match="'clocks' has to be an object"):
        Recount(dataclasses.replace(verdict, evidence={"clocks": 1}), SETTINGS)
    with pytest.raises(Malformed, match="tables of its gate"):
        Recount(dataclasses.replace(verdict, gate={}), SETTINGS)
