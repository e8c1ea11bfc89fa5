"""One trial that cannot be merged or decided is that trial's matter: it is named, and all others go on."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import orjson
import pytest

from downstream import Downstream, answered, taken
from shadowbus.decide.claims import Real
from shadowbus.decide.stage import DecideStage
from shadowbus.errors import Retry
from shadowbus.partitioners import partition_of
from shadowbus.records import Partial, encode
from shadowbus.settings import GateSettings, Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.totals.totals import INDEX, Totals

TRIALS = ("live@1~aa@1", "live@1~bad@2", "live@1~zz@3")
BAD = TRIALS[1]
SETTINGS = Settings("test", 2, gate=GateSettings(min_requests=10, max_error_rate=0.5))
NOW_MS = 1_000_000
Row = tuple[bytes, bytes]


def record(trial: str, at: int = 10, segment: str = "all", source: int = 0, **counts: int) -> dict[str, Any]:
    """A partial as a document."""
    totals = Totals(first_ms=1, last_ms=2)
    for name, count in (counts or {"compared": 2_000, "agreed": 2_000}).items():
        totals.counts[INDEX[name]] = count
    partial = Partial(trial, segment, "all", source, {"comparisons": at}, totals.to_record(), 1_000 + at)
    found: dict[str, Any] = orjson.loads(encode(partial))
    return found


def row(document: dict[str, Any]) -> Row:
    key = "|".join(str(document[name]) for name in ("trial", "segment", "window", "partition"))
    return key.encode(), orjson.dumps(document)


def vitals(trial: str, at: int = 1, **changes: Any) -> Row:
    document = {"books": {"comparisons": {trial: {}}}, "worker": "w", "next_offsets": {"vitals": at}, **changes}
    return f"{trial}|vitals|replay|0".encode(), orjson.dumps(document)


def verdicts(behind: Downstream) -> dict[str, dict[str, Any]]:
    made = [one for one in behind.publish() if one.topic == "verdicts"]
    return {one.key.decode(): orjson.loads(one.value or b"") for one in made}


def contradictory() -> list[Row]:
    """More that agreed than there are."""
    return [row(record(BAD, compared=5, agreed=9, disagreed=-4))]


def odd_segment() -> list[Row]:
    return [row(record(BAD, segment="country=DE", compared=5, agreed=9, disagreed=-4)), row(record(BAD))]


ODD: list[Callable[[], list[Row]]] = [contradictory, odd_segment]


def among_others(*bad: Row) -> Downstream:
    return taken(
        SETTINGS, [*bad, *(one for trial in (TRIALS[0], TRIALS[2]) for one in (vitals(trial), row(record(trial))))]
    )


@pytest.mark.parametrize("odd", ODD)
def test_a_trial_that_cannot_be_decided_is_named_and_stops_no_other(
    odd: Callable[[], list[Row]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    behind = among_others(*odd())
    first = verdicts(behind)
    assert {trial: one["verdict"] for trial, one in first.items()} == {
        TRIALS[0]: "PROMOTE",
        BAD: "KEEP_WATCHING",
        TRIALS[2]: "PROMOTE",
    }
    assert first[BAD]["fault"]
    assert first[BAD]["fault"] in first[BAD]["note"]
    assert (first[BAD]["criteria"], first[TRIALS[0]]["fault"]) == ([], "")
    for at in range(20, 90, 10):
        behind.take(*row(record(TRIALS[2], at, compared=2_000 + at, agreed=2_000)))
        assert set(verdicts(behind)) == {TRIALS[2]}, "what is at fault is not worked out again before its next partial"
    for key, value in odd():
        behind.take(key, value.replace(b'"comparisons":10', b'"comparisons":20'))
    verdicts(behind)
    logged = sorted(one.name for one in caplog.records if BAD in one.message)
    assert logged == ["shadowbus.agents", "shadowbus.decide"], "each logs it once"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("restarted", [False, True])
def test_it_goes_on_from_what_stood_before_once_it_can_be_decided(
    odd: Callable[[], list[Row]], restarted: bool
) -> None:
    behind = Downstream(SETTINGS)
    behind.take(*vitals(BAD))
    behind.take(*row(record(BAD, 5, compared=200, shadow_error=1_800, shadow_errors=1_800)))
    before = verdicts(behind)[BAD]
    assert before["verdict"] == "SEND_BACK"
    for one in odd():
        behind.take(*one)
    fault = verdicts(behind)[BAD]
    assert (fault["verdict"], fault["previous"]) == (
        "KEEP_WATCHING",
        {"verdict": "SEND_BACK", "since_ms": before["since_ms"]},
    )
    assert (fault["requests"], fault["books"]) == (before["requests"], before["books"])
    if restarted:
        behind.restart()
    for key, value in odd():
        good = orjson.loads(value)
        good["totals"] = record(BAD, compared=90_000, agreed=90_000)["totals"]
        good["next_offsets"] = {"comparisons": 30}
        behind.take(key, orjson.dumps(good))
    after = verdicts(behind)[BAD]
    assert (after["verdict"], after["shown"], after["fault"]) == ("SEND_BACK", "PROMOTE", "")
    assert after["since_ms"] == before["since_ms"]


def test_a_record_larger_than_kafka_takes_is_a_fault_of_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowbus.decide.stage.MAX_OUTPUT_BYTES", 9_000)
    document = record(BAD)
    document["totals"]["confusion"] = [[f"a class with a name {number}", "b", 1] for number in range(300)]
    found = verdicts(among_others(row(document)))
    assert found.keys() == set(TRIALS)
    assert "and no record may" in found[BAD]["fault"]


REAL = Real({("comparisons", 0): 100, ("outcomes", 0): 5, ("vitals", 0): 9, ("requests", 0): 50}, NOW_MS)


def changed(**changes: Any) -> Row:
    return row({**record(BAD), **changes})


BEYOND = {
    "offsets": changed(next_offsets={"comparisons": 10**9}),
    "offsets of labels": changed(next_offsets={"comparisons": 10, "outcomes": 6}),
    "a partition that is not there": row(record(BAD, source=7)),
    "a time to come": changed(updated_ms=10**15),
    "vitals": vitals(BAD, 10),
    "requests": vitals(BAD, 2, books={"requests": {"next_offset": 51}}),
    "times of books": vitals(BAD, 2, claimed_since_ms=10**15),
    "when books were seen": vitals(BAD, 2, written_ms=10**15),
}
MALFORMED = {
    "an input nobody counts": changed(next_offsets={"comparisons": 10, "moon": 10**9}),
    "a negative offset": changed(next_offsets={"comparisons": -1}),
    "no offset": changed(next_offsets={"comparisons": True}),
    "a first offset behind the last": changed(first_offsets={"comparisons": 11}),
    "another trial": (row(record(BAD))[0], row(record(TRIALS[0]))[1]),
    "another segment": (row(record(BAD))[0], row(record(BAD, segment="a=b"))[1]),
    "names that are none": changed(names={"classes": [1, None]}),
    "noise that is none": changed(noise={"n": "x"}),
    "times that are none": changed(totals={**record(BAD)["totals"], "first_ms": "yesterday"}),
    "days that are none": changed(totals={**record(BAD)["totals"], "days": {"today": [1]}}),
    "totals that are none": changed(totals={"statuses": {"compared": "x"}}),
}


FORGED = {**BEYOND, **MALFORMED}


def checked(*rows: Row) -> Downstream:
    """Decide, before a Kafka that has what `REAL` says; at first nothing of it is known."""
    behind = Downstream(SETTINGS, Real({}, NOW_MS), answered(REAL.ends))
    for one in rows:
        behind.take(*one)
    return behind


@pytest.mark.parametrize("name", FORGED)
def test_a_partial_that_cannot_be_so_is_set_aside_once_and_holds_up_nothing(name: str) -> None:
    forged = FORGED[name]
    behind = checked(vitals(BAD), row(record(BAD, 10)))
    assert verdicts(behind)[BAD]["verdict"] == "PROMOTE"
    behind.take(*forged)
    found = verdicts(behind)[BAD]
    assert (found["verdict"], found["requests"]) == ("KEEP_WATCHING", 2_000)
    (letter,) = map(orjson.loads, behind.letters)
    assert letter["reason"] in found["fault"]
    assert "all, all" in found["fault"] or "vitals" in found["fault"]
    behind.restart()
    assert verdicts(behind) == {}, "the same fault is not written again"
    behind.take(*vitals(BAD, 3))
    behind.take(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    found = verdicts(behind)[BAD]
    assert (found["verdict"], found["fault"], found["requests"]) == ("PROMOTE", "", 3_000)
    assert len(behind.letters) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_counts_more_than_is_known_waits_until_it_is_known(order: tuple[int, int]) -> None:
    true, forged = row(record(BAD, 20, compared=3_000, agreed=3_000)), changed(next_offsets={"comparisons": 10**9})
    asked = Future[Mapping[Input, int]]()
    behind = Downstream(SETTINGS, Real({}, NOW_MS), lambda: asked)
    for one in (vitals(BAD), *((true, forged)[number] for number in order)):
        behind.take(*one)
    home = behind.home(BAD.encode())
    assert behind.publish() == []
    assert behind.positions["partials", home] == 0
    asked.set_result(REAL.ends)
    found = verdicts(behind)[BAD]
    assert bool(found["fault"]) == (order == (0, 1)), "until its next partial"
    assert (len(behind.letters), behind.positions["partials", home]) == (1, 3)
    behind.take(*row(record(BAD, 30, compared=3_500, agreed=3_500)))
    assert verdicts(behind)[BAD]["requests"] == 3_500


def test_while_kafka_does_not_say_where_topics_end_partials_wait() -> None:
    answers: list[Retry | Mapping[Input, int]] = [Retry("away"), REAL.ends]

    def ask() -> Future[Mapping[Input, int]]:
        future, answer = Future[Mapping[Input, int]](), answers.pop(0)
        if isinstance(answer, Retry):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    behind = Downstream(SETTINGS, Real({}, NOW_MS), ask)
    behind.take(*row(record(BAD, 10)))
    assert verdicts(behind) == {}
    assert verdicts(behind)[BAD]["requests"] == 2_000


def test_a_refusal_makes_no_trial() -> None:
    behind = checked((b"made@1~up@2|all|all|0", b"{"), (b"nonsense", b"{"))
    assert behind.publish() == []
    assert len(behind.letters) == 2


def test_a_partial_in_the_partition_of_another_trial_is_set_aside() -> None:
    stage = DecideStage(frozenset({0, 1}), SETTINGS)
    (key, value), home = row(record(BAD)), partition_of(BAD.encode(), 2)
    outputs = stage.process([RecordBatch("partials", 1 - home, [key], [value], [0], [7])], NOW_MS)
    ((partition, _, letter),) = outputs.records["dead-letters"]
    assert (partition, outputs.positions) == (1 - home, {("partials", 1 - home): 8})
    assert f"belongs to partition {home}" in orjson.loads(letter or b"")["reason"]


@pytest.mark.parametrize("stood", ["SEND_BACK", "PROMOTE"])
def test_a_verdict_that_rests_on_more_than_there_is_says_only_what_stood_before_it(stood: str) -> None:
    behind = checked(vitals(BAD), row(record(BAD, 10)))
    honest = verdicts(behind)[BAD]
    evidence = {**honest["evidence"], "offsets": {"comparisons": {"0": [0, 10**9]}}}
    forged = {**honest, "evidence": evidence, "previous": {"verdict": stood, "since_ms": 7}}
    behind.real = REAL
    behind.restart(verdicts={BAD.encode(): orjson.dumps(forged)})
    found = verdicts(behind)[BAD]
    assert (found["verdict"], found["previous"]) == (stood, forged["previous"])


def test_what_takes_long_leaves_the_rest_for_the_next_commit_and_rests() -> None:
    spent = iter(float(number) for number in range(1_000))
    stage = DecideStage(frozenset({0, 1}), SETTINGS, spent=lambda: next(spent))
    for trial in TRIALS:
        key, value = row(record(trial))
        stage.process([RecordBatch("partials", partition_of(trial.encode(), 2), [key], [value], [0], [0])], NOW_MS)
    stage.tick(NOW_MS, {("partials", 0): 0, ("partials", 1): 0})
    decided: list[str] = []
    for now_ms in (NOW_MS, NOW_MS + 4_999, NOW_MS + 5_000, NOW_MS + 10_000, NOW_MS + 15_000):
        rows = stage.checkpoint(now_ms).records.get("verdicts", [])
        assert len(rows) == (0 if now_ms in (NOW_MS + 4_999, NOW_MS + 15_000) else 1)
        decided += [(key or b"").decode() for _, key, _ in rows]
    assert sorted(decided) == sorted(TRIALS), "each once, and none twice while another waits"


def test_a_commit_that_stays_half_written_is_a_fault_in_the_end() -> None:
    behind = Downstream(SETTINGS)
    behind.take(*row(record(BAD, 10)))
    verdicts(behind)
    behind.take(*row(record(BAD, 20, "country=DE")))
    looks = 0
    while not (found := verdicts(behind)):
        looks += 1
        assert looks < 1_000
    assert looks > 10
    assert "count further" in found[BAD]["fault"]
    behind.take(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    assert verdicts(behind)[BAD]["fault"] == ""
