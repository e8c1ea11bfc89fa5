"""One trial that cannot be merged or decided is that trial's matter: it is named, and all others go on."""

import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from shadowbus.decide.board import Board, Publication
from shadowbus.decide.claims import Beyond, Real
from shadowbus.errors import Malformed
from shadowbus.records import Partial, encode
from shadowbus.settings import GateSettings, Settings
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


def published(board: Board) -> list[Publication]:
    return list(board.publish(lambda _: True))


def verdicts(board: Board) -> dict[str, dict[str, Any]]:
    return {one.key.decode(): orjson.loads(one.value or b"") for one in published(board) if one.topic == "verdicts"}


def contradictory() -> list[Row]:
    """More that were only right than there are: a confidence sequence refuses it."""
    return [row(record(BAD, compared=5, agreed=9, disagreed=-4))]


def odd_deaths() -> list[Row]:
    return [row(record(BAD)), vitals(BAD, model={"deaths": {"killed": "often"}, "rows": 1})]


def odd_statuses() -> list[Row]:
    document = record(BAD)
    document["totals"]["statuses"] = {"compared": 2**62, "shadow_error": 2**62}
    other = record(BAD, source=1)
    other["totals"]["statuses"] = {"compared": 2**62, "shadow_error": 2**62}
    return [row(document), row(other)]


def odd_segment() -> list[Row]:
    return [row(record(BAD, segment="country=DE", compared=5, agreed=9, disagreed=-4)), row(record(BAD))]


ODD: list[Callable[[], list[Row]]] = [contradictory, odd_segment]


def board_with(*bad: Row) -> Board:
    board = Board({}, SETTINGS)
    for key, value in bad:
        board.accept(key, value)
    for trial in (TRIALS[0], TRIALS[2]):
        board.accept(*vitals(trial))
        board.accept(*row(record(trial)))
    return board


@pytest.mark.parametrize("odd", ODD)
def test_a_trial_that_cannot_be_decided_is_named_and_stops_no_other(
    odd: Callable[[], list[Row]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    board = board_with(*odd())
    first = verdicts(board)
    assert {trial: one["verdict"] for trial, one in first.items()} == {
        TRIALS[0]: "PROMOTE",
        BAD: "KEEP_WATCHING",
        TRIALS[2]: "PROMOTE",
    }
    assert first[BAD]["fault"]
    assert first[BAD]["fault"] in first[BAD]["note"]
    assert (first[BAD]["criteria"], first[TRIALS[0]]["fault"]) == ([], "")
    for at in range(20, 90, 10):
        board.accept(*row(record(TRIALS[2], at, compared=2_000 + at, agreed=2_000)))
        assert set(verdicts(board)) == {TRIALS[2]}, "what is at fault is not worked out again before its next partial"
    for key, value in odd():
        board.accept(key, value.replace(b'"comparisons":10', b'"comparisons":20'))
    verdicts(board)
    assert len([one for one in caplog.records if BAD in one.message]) == 1, "it is logged once"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("restarted", [False, True])
def test_it_goes_on_from_what_stood_before_once_it_can_be_decided(
    odd: Callable[[], list[Row]], restarted: bool
) -> None:
    board = Board({}, SETTINGS)
    board.accept(*vitals(BAD))
    board.accept(*row(record(BAD, 5, compared=200, shadow_error=1_800, shadow_errors=1_800)))
    before = verdicts(board)[BAD]
    assert before["verdict"] == "SEND_BACK"
    for one in odd():
        board.accept(*one)
    fault = verdicts(board)[BAD]
    assert (fault["verdict"], fault["previous"]) == (
        "KEEP_WATCHING",
        {"verdict": "SEND_BACK", "since_ms": before["since_ms"]},
    )
    assert (fault["requests"], fault["books"]) == (before["requests"], before["books"])
    if restarted:
        board = Board(board.table, SETTINGS)
        board.reload()
        board.recall({BAD.encode(): orjson.dumps(fault)})
    for key, value in odd():
        good = orjson.loads(value)
        good["totals"] = record(BAD, compared=90_000, agreed=90_000)["totals"]
        good["next_offsets"] = {"comparisons": 30}
        board.accept(key, orjson.dumps(good))
    after = verdicts(board)[BAD]
    assert (after["verdict"], after["shown"], after["fault"]) == ("SEND_BACK", "PROMOTE", "")
    assert after["since_ms"] == before["since_ms"]


def test_a_record_larger_than_kafka_takes_is_a_fault_of_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowbus.decide.board.MAX_RECORD_BYTES", 9_000)
    document = record(BAD)
    document["totals"]["confusion"] = [[f"a class with a name {number}", "b", 1] for number in range(300)]
    found = verdicts(board_with(row(document)))
    assert found.keys() == set(TRIALS)
    assert "and no record may" in found[BAD]["fault"]


def test_what_kafka_did_not_take_is_tried_again_after_all_others() -> None:
    board = board_with(row(record(BAD)))
    lost = next(one for one in published(board) if one.key == BAD.encode())
    board.unpublish(lost)
    board.accept(*row(record(TRIALS[0], 20, compared=2_001, agreed=2_000)))
    assert [one.key.decode() for one in published(board) if one.topic == "verdicts"][-1] == BAD
    board.unpublish(lost, "too large")
    assert verdicts(board)[BAD]["fault"] == "It cannot be published: too large."


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


REFUSED = {**dict.fromkeys(BEYOND, Beyond), **dict.fromkeys(MALFORMED, Malformed)}


@pytest.mark.parametrize(("name", "kind"), REFUSED.items(), ids=REFUSED)
def test_a_partial_that_cannot_be_so_is_refused_and_holds_up_nothing(name: str, kind: type[Exception]) -> None:
    forged = {**BEYOND, **MALFORMED}[name]
    board = Board({}, SETTINGS)
    board.real = REAL
    board.accept(*vitals(BAD))
    board.accept(*row(record(BAD, 10)))
    assert verdicts(board)[BAD]["verdict"] == "PROMOTE"
    if kind is Beyond:
        assert board.accept(*forged, "from there")
        assert verdicts(board) == {}, "it waits to be proved"
        ((origin, why),) = board.prove()
        assert origin == "from there"
    else:
        with pytest.raises(Malformed) as caught:
            board.accept(*forged)
        why = str(caught.value)
        board.refuse(forged[0], why)
    found = verdicts(board)[BAD]
    assert (found["verdict"], found["requests"]) == ("KEEP_WATCHING", 2_000)
    assert why in found["fault"]
    assert "all, all" in found["fault"] or "vitals" in found["fault"]
    board.accept(*vitals(BAD, 3))
    board.accept(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    found = verdicts(board)[BAD]
    assert (found["verdict"], found["fault"], found["requests"]) == ("PROMOTE", "", 3_000)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_counts_more_than_is_known_waits_until_it_is_known(order: tuple[int, int]) -> None:
    board = Board({}, SETTINGS)
    board.real = Real({}, 0)
    true, forged = row(record(BAD, 20, compared=3_000, agreed=3_000)), changed(next_offsets={"comparisons": 10**9})
    for one in (vitals(BAD), *((true, forged)[number] for number in order)):
        board.accept(*one)
    assert published(board) == []
    board.real = REAL
    assert len(board.prove()) == 1
    assert verdicts(board)[BAD]["requests"] == (3_000 if order == (1, 0) else 0)
    board.accept(*row(record(BAD, 30, compared=3_500, agreed=3_500)))
    assert verdicts(board)[BAD]["requests"] == 3_500
    assert board.instead == {}


def test_a_refusal_makes_no_trial() -> None:
    board = Board({}, SETTINGS)
    board.refuse(b"made@1~up@2|all|all|0", "why")
    board.refuse(b"nonsense", "why")
    assert published(board) == []


@pytest.mark.parametrize("forged", BEYOND.values(), ids=BEYOND)
def test_what_was_believed_is_not_any_more_once_it_is_known_what_there_is(forged: Row) -> None:
    believing = Board({}, SETTINGS)
    truth = [vitals(BAD), row(record(BAD, 10))]
    for one in (*truth, forged):
        believing.accept(*one)
    board = Board(believing.table, SETTINGS)
    board.reload()
    board.real = REAL
    assert board.doubt()
    board.mend([*truth, forged])
    board.recall({})
    found = verdicts(board)[BAD]
    if forged[0].endswith(b"|7"):
        assert "no earlier one is left" in found["fault"]
    else:
        assert (found["requests"], found["fault"]) == (2_000, "")
    board.accept(*vitals(BAD, 4))
    board.accept(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    assert verdicts(board)[BAD]["verdict"] == "PROMOTE"


@pytest.mark.parametrize("forged", BEYOND.values(), ids=BEYOND)
def test_what_comes_before_it_is_known_what_there_is_does_not_hide_what_was_believed(forged: Row) -> None:
    truth = [vitals(BAD), row(record(BAD, 10))]
    board = Board(dict([*truth, forged]), SETTINGS)
    board.reload()
    board.real = Real({}, 0)
    later = [vitals(BAD, 4), row(record(BAD, 20, compared=3_000, agreed=3_000))]
    for one in later:
        assert board.accept(*one)
    board.real = REAL
    assert board.doubt()
    board.mend([*truth, forged, *later])
    board.recall({})
    board.prove()
    found = verdicts(board)[BAD]
    if not forged[0].endswith(b"|7"):
        assert (found["verdict"], found["fault"], found["requests"]) == ("PROMOTE", "", 3_000)


def test_a_table_with_odd_records_is_restored_without_them() -> None:
    table = {b"nonsense": b"x", row(record(BAD))[0]: b"{", row(record(TRIALS[0]))[0]: row(record(TRIALS[0]))[1]}
    board = Board(table, SETTINGS)
    board.reload()
    board.real = REAL
    assert board.doubt()
    board.mend([])
    assert verdicts(board).keys() == {TRIALS[0]}


@pytest.mark.parametrize("stood", ["SEND_BACK", "PROMOTE"])
def test_a_verdict_that_rests_on_more_than_there_is_says_only_what_stood_before_it(stood: str) -> None:
    board = Board({}, SETTINGS)
    board.accept(*vitals(BAD))
    board.accept(*row(record(BAD, 10)))
    honest = verdicts(board)[BAD]
    evidence = {**honest["evidence"], "offsets": {"comparisons": {"0": [0, 10**9]}}}
    forged = {**honest, "evidence": evidence, "previous": {"verdict": stood, "since_ms": 7}}
    again = Board(board.table, SETTINGS)
    again.reload()
    again.real = REAL
    again.recall({BAD.encode(): orjson.dumps(forged)})
    found = verdicts(again)[BAD]
    assert (found["verdict"], found["previous"]) == (stood, forged["previous"])


def test_what_comes_while_a_trial_is_published_is_published_next() -> None:
    board = Board({}, SETTINGS)
    board.accept(*vitals(BAD))
    board.accept(*row(record(BAD, 10)))
    under_way = board.publish(lambda _: True)
    next(under_way)
    board.accept(*row(record(BAD, 20, "country=DE")))  # in the midst of a commit
    list(under_way)
    board.accept(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    assert verdicts(board)[BAD]["requests"] == 3_000


def test_a_commit_that_stays_half_written_is_a_fault_in_the_end() -> None:
    board = Board({}, SETTINGS)
    board.accept(*row(record(BAD, 10)))
    verdicts(board)
    board.accept(*row(record(BAD, 20, "country=DE")))
    looks = 0
    while not (found := verdicts(board)):
        looks += 1
        assert looks < 1_000
    assert looks > 10
    assert "count further" in found[BAD]["fault"]
    board.accept(*row(record(BAD, 20, compared=3_000, agreed=3_000)))
    assert verdicts(board)[BAD]["fault"] == ""
