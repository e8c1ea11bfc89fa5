"""What decide writes follows from the previous verdict, through restarts, compaction and commits read in part."""

from typing import Any

import orjson
import pytest

from downstream import Downstream, taken
from shadowbus.records import Partial, encode
from shadowbus.settings import GateSettings, Settings
from shadowbus.stage import RecordBatch
from shadowbus.totals.key import Key
from shadowbus.totals.totals import INDEX, Totals

TRIAL = "live@1~new@2"
SETTINGS = Settings("test", 1, gate=GateSettings(min_requests=10, max_error_rate=0.05))

GOOD, BAD, WELL = (2_000, 10), (2_100, 900), (900_000, 950)
"""Requests and errors so far, of a trial that fails for a while: they show PROMOTE, SEND_BACK and PROMOTE again."""


def row(at: int, counted: tuple[int, int], segment: str = "all") -> tuple[bytes, bytes]:
    """A partial of the whole trial as of an offset."""
    requests, errors = counted
    totals = Totals(first_ms=1, last_ms=2)
    totals.counts[INDEX["compared"]], totals.counts[INDEX["shadow_error"]] = requests - errors, errors
    totals.counts[INDEX["shadow_errors"]] = errors
    key, offsets = Key(TRIAL, segment), dict[str, object](comparisons=at)
    record = Partial(*key, 0, offsets, totals.to_record(), 1_000 + at, first_offsets={"comparisons": 3})
    return f"{key.text()}|0".encode(), encode(record)


def vitals(at: int) -> tuple[bytes, bytes]:
    """Books that close."""
    books: dict[str, Any] = {"comparisons": {TRIAL: {}}}
    return f"{TRIAL}|vitals|replay|0".encode(), orjson.dumps({"books": books, "next_offsets": {"vitals": at}})


def verdict(behind: Downstream) -> bytes | None:
    """What is published of the verdict, if anything."""
    found = [one.value for one in behind.publish() if one.topic == "verdicts"]
    assert len(found) < 2
    return found[0] if found else None


def told(value: bytes | None) -> dict[str, Any]:
    assert value is not None
    record: dict[str, Any] = orjson.loads(value)
    return record


def started(*rows: tuple[bytes, bytes], stands: bytes | None = None) -> Downstream:
    """Decide after a restart over these partials and the verdicts topic."""
    behind = taken(SETTINGS, [vitals(1), *rows])
    behind.restart(verdicts={} if stands is None else {TRIAL.encode(): stands})
    return behind


def test_a_version_that_was_sent_back_stays_so_and_the_record_says_what_is_shown() -> None:
    behind = started()
    behind.take(*row(10, GOOD))
    promoted = told(verdict(behind))
    behind.take(*row(20, BAD))
    back = told(verdict(behind))
    behind.take(*row(30, WELL))
    still = told(verdict(behind))
    assert [(one["verdict"], one["shown"], one["since_ms"]) for one in (promoted, back, still)] == [
        ("PROMOTE", "PROMOTE", 1_010),
        ("SEND_BACK", "SEND_BACK", 1_020),
        ("SEND_BACK", "PROMOTE", 1_020),
    ]
    assert [one["previous"] for one in (promoted, back, still)] == [
        None,
        {"verdict": "PROMOTE", "since_ms": 1_010},
        {"verdict": "SEND_BACK", "since_ms": 1_020},
    ]
    assert "final" in still["note"]
    assert still["evidence"]["offsets"] == {"comparisons": {"0": [3, 30]}, "outcomes": {}, "vitals": {"0": [0, 1]}}


@pytest.mark.parametrize("counted", [GOOD, BAD, (20, 0)])
def test_a_restart_over_the_same_partials_writes_nothing_again(counted: tuple[int, int]) -> None:
    behind = started(row(10, GOOD))
    first = verdict(behind)
    assert first is not None
    assert verdict(started(row(10, GOOD), stands=first)) is None
    behind.take(*row(20, counted))
    second = verdict(behind)
    assert second not in (None, first)
    assert verdict(started(row(20, counted), stands=second)) is None


@pytest.mark.parametrize("dies_after", range(4))
def test_each_verdict_follows_from_the_one_before_wherever_it_restarts(dies_after: int) -> None:
    def run(dies: int | None) -> list[dict[str, Any]]:
        behind, found = started(), list[dict[str, Any]]()
        for number, one in enumerate((row(10, GOOD), row(20, BAD), row(30, WELL), row(40, GOOD))):
            behind.take(*one)
            if number == dies:
                behind.restart()
            found += [told(value)] if (value := verdict(behind)) else []
        return found

    assert run(dies_after) == run(None)
    assert [one["verdict"] for one in run(None)] == ["PROMOTE", "SEND_BACK", "SEND_BACK", "SEND_BACK"]


def test_a_restart_knows_what_stands() -> None:
    back = verdict(started(row(20, BAD)))
    after = told(verdict(started(row(30, WELL), stands=back)))
    assert (after["verdict"], after["shown"]) == ("SEND_BACK", "PROMOTE")
    without = told(verdict(started(row(30, WELL))))
    assert without["verdict"] == "PROMOTE"


def test_nothing_is_decided_before_all_is_read_that_compaction_may_have_put_in_place_of_the_state() -> None:
    published = verdict(started(row(20, BAD)))
    behind = taken(SETTINGS, [vitals(1), row(10, GOOD)])
    behind.restart(verdicts={TRIAL.encode(): published or b""}, ready=False)
    behind.decide.tick(0, {("partials", 0): 2})
    assert behind.decide.checkpoint(0).records == {}
    behind.decide.process([RecordBatch("partials", 0, [b"x|all|all|0"], [None], [0], [2])], 0)
    behind.decide.tick(0, {("partials", 0): 9})  # of what came since
    assert behind.decide.checkpoint(0).records == {}
    behind.decide.process([RecordBatch("partials", 0, [row(30, BAD)[0]], [row(30, BAD)[1]], [0], [3])], 0)
    ((_, _, value),) = behind.decide.checkpoint(0).records["verdicts"]
    assert told(value)["previous"] == {"verdict": "SEND_BACK", "since_ms": 1_020}


def test_nothing_is_published_of_a_commit_that_was_read_in_part() -> None:
    behind = started(row(10, GOOD), row(10, GOOD, "country=DE"))
    assert verdict(behind) is not None
    behind.take(*row(20, BAD, "country=DE"))
    assert list(behind.publish()) == []
    behind.take(*row(20, BAD))
    assert told(verdict(behind))["verdict"] == "SEND_BACK"
    half = started(row(20, BAD, "country=DE"), row(10, GOOD))
    assert list(half.publish()) == []


def test_new_books_that_say_the_same_are_not_worth_another_record() -> None:
    behind = started(row(10, GOOD))
    assert verdict(behind) is not None
    behind.take(*vitals(2))
    assert verdict(behind) is None


def test_what_is_no_verdict_does_not_stand() -> None:
    value = orjson.dumps({**told(verdict(started(row(20, BAD)))), "verdict": "MAYBE"})
    assert told(verdict(started(row(30, GOOD), stands=value)))["previous"] is None
    assert told(verdict(started(row(30, GOOD), stands=b"{")))["previous"] is None
