"""The aggregate stage: its partials are its state, and nothing but them is needed to go on."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # an independent implementation

from shadowbus.aggregate.stage import AggregateStage
from shadowbus.errors import Retry
from shadowbus.settings import AggregateSettings, Settings
from shadowbus.stage import Outputs, RecordBatch

PARTITIONS = 4
TRIAL = "live@1~new@2"
SETTINGS = Settings("test", PARTITIONS, aggregate=AggregateSettings(window_seconds=1, keep_windows=3))


def comparison(time_ms: int, trial: str = TRIAL, **segments: object) -> bytes:
    side = {"model": "m", "prediction": 1, "scores": None, "latency_ms": 2.0, "error": None}
    both = {"live": side, "shadow": side, "agree": True, "distance": 0.0, "segments": segments}
    return orjson.dumps({"timestamp_ms": time_ms, "trial": trial, "status": "compared", **both})


def vitals(partition: int, compared: int, stage: str = "replay", shadow: str = "new") -> bytes:
    books = {"comparisons": {TRIAL: {"compared": compared}}} if shadow else {"labels": {"read": 1}}
    names = {"stage": stage, "shadow": shadow, "worker": "w", "partition": partition}
    return orjson.dumps({**names, "timestamp_ms": 1, "books": books})


def piece(topic: str, partition: int, values: list[bytes | None], first: int = 0) -> RecordBatch:
    count = len(values)
    return RecordBatch(topic, partition, [b"k"] * count, values, [0] * count, list(range(first, first + count)))


def written(outputs: Outputs) -> dict[str, Any]:
    rows = outputs.records.get("partials", [])
    return {(key or b"").decode(): None if value is None else orjson.loads(value) for _, key, value in rows}


def stage_of(*held: int) -> AggregateStage:
    return AggregateStage(frozenset(held), SETTINGS)


def restored(held: int, log: list[tuple[int, bytes | None, bytes | None]]) -> AggregateStage:
    stage = stage_of(held)
    for target in range(PARTITIONS):
        rows = [row for row in log if row[0] == target]
        keys, values = [key for _, key, _ in rows], [value for _, _, value in rows]
        stage.restore(RecordBatch("partials", target, keys, values, [0] * len(rows), list(range(len(rows)))))
    return stage


def test_a_batch_is_accounted_for_at_once_and_written_at_the_commit() -> None:
    stage = stage_of(1)
    outputs = stage.process([piece("comparisons", 1, [comparison(5_200), comparison(5_300)], first=40)], 9_000)
    assert outputs.positions == {("comparisons", 1): 42}
    assert outputs.records == {}
    partials = written(stage.checkpoint(9_500))
    assert set(partials) == {f"{TRIAL}|all|all|1", f"{TRIAL}|all|5000|1"}
    whole = partials[f"{TRIAL}|all|all|1"]
    assert whole["totals"]["statuses"] == {"compared": 2}
    assert whole["next_offsets"] == {"comparisons": 42}
    assert whole["updated_ms"] == 9_500
    assert (whole["trial"], whole["segment"], whole["window"], whole["partition"]) == (TRIAL, "all", "all", 1)


def test_nothing_new_writes_nothing() -> None:
    stage = stage_of(0)
    stage.process([piece("comparisons", 0, [comparison(5_200)])], 9_000)
    stage.checkpoint(9_500)
    assert not stage.checkpoint(10_000)


def test_all_partials_of_a_trial_go_to_the_partition_of_its_name() -> None:
    trials = [f"live@1~new@{version}" for version in range(20)]
    stage = stage_of(0, 3)
    for source in (0, 3):
        values = [comparison(5_000, trial, country="DE") for trial in trials]
        stage.process([piece("comparisons", source, [*values])], 9_000)
    for partition, key, _ in stage.checkpoint(9_500).records["partials"]:
        trial = (key or b"").split(b"|")[0]
        assert partition == (murmur2(trial) & 0x7FFFFFFF) % PARTITIONS


def test_a_stage_restored_from_its_partials_goes_on_where_it_was() -> None:
    values: list[bytes | None] = [comparison(5_000 + 150 * i, country="DE" if i % 3 else "FR") for i in range(30)]
    whole = stage_of(2)
    whole.process([piece("comparisons", 2, values)], 20_000)
    expected = written(whole.checkpoint(20_000))

    first, other = stage_of(2), stage_of(1)
    log: list[tuple[int, bytes | None, bytes | None]] = []
    for start in (0, 10):
        first.process([piece("comparisons", 2, values[start : start + 10], first=start)], 20_000)
        log += first.checkpoint(20_000).records["partials"]
    other.process([piece("comparisons", 1, values)], 20_000)
    log += other.checkpoint(20_000).records["partials"]
    second = restored(2, log)
    second.resume_at({("comparisons", 2): 20, ("outcomes", 2): 7, ("vitals", 2): 1})
    second.process([piece("comparisons", 2, values[20:], first=20)], 20_000)
    log += second.checkpoint(20_000).records["partials"]

    last = {(key or b"").decode(): value for _, key, value in log if (key or b"").endswith(b"|2")}
    kept = {key: orjson.loads(value)["totals"] for key, value in last.items() if value is not None}
    assert kept == {key: partial["totals"] for key, partial in expected.items() if partial is not None}
    newest = orjson.loads(last[f"{TRIAL}|all|all|2"] or b"")
    assert newest["next_offsets"] == {"comparisons": 30, "outcomes": 7}


def test_old_windows_are_dropped_and_their_partials_deleted() -> None:
    stage = stage_of(0)
    stage.process([piece("comparisons", 0, [comparison(time_ms) for time_ms in (1_000, 2_000, 3_000)])], 9_000)
    assert f"{TRIAL}|all|1000|0" in written(stage.checkpoint(9_000))
    stage.process([piece("comparisons", 0, [comparison(5_500)], first=3)], 9_000)
    partials = written(stage.checkpoint(9_000))
    assert {key for key, value in partials.items() if value is None} == {f"{TRIAL}|all|{w}|0" for w in (1000, 2000)}
    assert partials[f"{TRIAL}|all|all|0"]["totals"]["statuses"] == {"compared": 4}


def test_a_clock_far_ahead_does_not_push_out_the_windows() -> None:
    stage = stage_of(0)
    stage.process([piece("comparisons", 0, [comparison(5_000), comparison(999_000)])], 6_000)
    partials = written(stage.checkpoint(6_000))
    assert set(partials) == {f"{TRIAL}|all|all|0", f"{TRIAL}|all|5000|0"}
    assert partials[f"{TRIAL}|all|all|0"]["totals"]["statuses"] == {"compared": 2}


def test_a_malformed_record_becomes_a_dead_letter_with_its_origin() -> None:
    stage = stage_of(3)
    outputs = stage.process(
        [piece("comparisons", 3, [b"{", comparison(5_000)], first=8), piece("vitals", 3, [b"null"], first=2)], 9_000
    )
    letters = [orjson.loads(value or b"") for _, _, value in outputs.records["dead-letters"]]
    assert [(x["topic"], x["partition"], x["offset"]) for x in letters] == [
        ("test.comparisons", 3, 8),
        ("test.vitals", 3, 2),
    ]
    assert outputs.positions == {("comparisons", 3): 10, ("vitals", 3): 3}
    assert written(stage.checkpoint(9_000))[f"{TRIAL}|all|all|3"]["totals"]["statuses"] == {"compared": 1}


def test_the_books_of_a_shadow_are_written_next_to_each_trial_they_speak_of() -> None:
    stage = stage_of(0)
    lags: Mapping[tuple[str, int], int] = {("comparisons", 0): 5}
    stage.tick(1_000, lags)
    stage.process([piece("vitals", 0, [vitals(0, 10), vitals(0, 12)], first=70)], 2_000)
    record = written(stage.checkpoint(3_000))[f"{TRIAL}|vitals|replay|0"]
    assert record["books"] == {"comparisons": {TRIAL: {"compared": 12}}}
    assert record["next_offsets"] == {"vitals": 72}
    assert (record["claimed_since_ms"], record["behind"], record["written_ms"]) == (2_000, 5, 3_000)

    stage.process([piece("vitals", 0, [vitals(0, 12)], first=72)], 60_000)
    again = written(stage.checkpoint(61_000))[f"{TRIAL}|vitals|replay|0"]
    assert (again["claimed_since_ms"], again["written_ms"]) == (2_000, 61_000)


def test_vitals_that_name_no_shadow_are_written_next_to_every_trial_counted_here() -> None:
    stage = stage_of(0)
    stage.process([piece("comparisons", 0, [comparison(5_000), comparison(5_000, "live@1~old@1")])], 9_000)
    stage.process([piece("vitals", 0, [vitals(0, 0, "judge", "")])], 9_000)
    keys = {key for key in written(stage.checkpoint(9_000)) if "|vitals|" in key}
    assert keys == {f"{TRIAL}|vitals|judge|0", "live@1~old@1|vitals|judge|0"}


@pytest.mark.parametrize("key", [None, b"what", b"a|b", b"a|all|all|x", b"a|all|soon|0", b"\xff|all|all|9"])
def test_a_foreign_record_among_the_partials_is_no_state(key: bytes | None) -> None:
    stage = stage_of(0)
    stage.restore(RecordBatch("partials", 0, [key], [b"{}"], [0], [0]))
    stage.process([piece("comparisons", 0, [comparison(5_000, "a")])], 9_000)
    assert written(stage.checkpoint(9_000))["a|all|all|0"]["totals"]["statuses"] == {"compared": 1}


FORGED = {
    "no object": b"7",
    "no JSON": b"{",
    "not UTF-8": b'{"next_offsets": {"comparisons": 1}, "\xff": 1}',
    "no totals": b'{"totals": 7, "next_offsets": {"comparisons": 1}}',
    "no offsets": b'{"totals": {}, "next_offsets": {"comparisons": "x"}}',
    "more than is committed": b'{"next_offsets": {"comparisons": 31}}',
    "an input nobody knows": b'{"next_offsets": {"comparisons": 1, "moon": 1}}',
    "deep": b'{"next_offsets": {"comparisons": 1}, "totals": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("key", [TRIAL + "|all|all|2", TRIAL + "|country=DE|all|2", TRIAL + "|all|5000|2"])
def test_kept_totals_that_something_else_wrote_are_counted_again_from_the_first_record(key: str, forged: bytes) -> None:
    values: list[bytes | None] = [comparison(5_000, country="DE") for _ in range(30)]
    first = stage_of(2)
    first.process([piece("comparisons", 2, values[:20])], 9_000)
    log = [*first.checkpoint(9_000).records["partials"], (0, key.encode(), forged)]
    spoiled = set[int]()
    for _ in range(3):
        stage = AggregateStage(frozenset({2}), SETTINGS, spoiled)
        try:
            for target, kept, value in log:
                stage.restore(RecordBatch("partials", target, [kept], [value], [0], [0]))
            resume = stage.resume_at({("comparisons", 2): 20, ("outcomes", 2): 0, ("vitals", 2): 0})
            if resume:
                again = piece("comparisons", 2, values[resume["comparisons", 2] : 20])
                again.timestamps = [9_000] * len(again.offsets)
                stage.reread(again)
            stage.process([piece("comparisons", 2, values[20:], first=20)], 9_000)
            partials = written(stage.checkpoint(9_000))
            break
        except Retry:
            continue
    for name in (key, f"{TRIAL}|all|all|2"):
        assert partials[name]["totals"]["statuses"] == {"compared": 30}
        assert partials[name]["next_offsets"]["comparisons"] == 30
