"""What the board publishes follows from the verdict that stands, through restarts, redelivery and half-read commits."""

from typing import Any

import orjson
import pytest

from shadowbus.decide.board import Board
from shadowbus.records import Partial, encode
from shadowbus.settings import GateSettings, Settings
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


def verdict(board: Board) -> bytes | None:
    """What is published of the verdict, if anything."""
    found = [one.value for one in board.publish(lambda _: True) if one.topic == "verdicts"]
    assert len(found) < 2
    return found[0] if found else None


def told(value: bytes | None) -> dict[str, Any]:
    assert value is not None
    record: dict[str, Any] = orjson.loads(value)
    return record


def started(*rows: tuple[bytes, bytes], stands: bytes | None = None) -> Board:
    """A board that starts over a table, and has read the verdicts topic back."""
    board = Board(dict([vitals(1), *rows]), SETTINGS)
    board.reload()
    board.recall({} if stands is None else {TRIAL.encode(): stands})
    return board


def test_a_version_that_was_sent_back_stays_so_and_the_record_says_what_is_shown() -> None:
    board = started()
    board.accept(*row(10, GOOD))
    promoted = told(verdict(board))
    board.accept(*row(20, BAD))
    back = told(verdict(board))
    board.accept(*row(30, WELL))
    still = told(verdict(board))
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
def test_a_restart_over_the_same_partials_writes_the_same_bytes_again(counted: tuple[int, int]) -> None:
    board = started(row(10, GOOD))
    first = verdict(board)
    assert verdict(started(row(10, GOOD), stands=first)) == first
    board.accept(*row(20, counted))
    second = verdict(board)
    assert second not in (None, first)
    assert verdict(started(row(20, counted), stands=second)) == second


def test_a_restart_knows_what_stands() -> None:
    back = verdict(started(row(20, BAD)))
    after = told(verdict(started(row(30, WELL), stands=back)))
    assert (after["verdict"], after["shown"]) == ("SEND_BACK", "PROMOTE")
    without = told(verdict(started(row(30, WELL))))
    assert without["verdict"] == "PROMOTE"


def test_a_table_that_is_behind_what_was_published_says_nothing_until_it_has_caught_up() -> None:
    published = verdict(started(row(20, BAD)))
    board = started(row(10, GOOD), stands=published)
    assert verdict(board) is None
    board.accept(*row(20, BAD))
    assert verdict(board) == published


def test_nothing_is_published_of_a_commit_that_was_read_in_part() -> None:
    board = started(row(10, GOOD), row(10, GOOD, "country=DE"))
    assert verdict(board) is not None
    board.accept(*row(20, BAD, "country=DE"))
    assert list(board.publish(lambda _: True)) == []
    board.accept(*row(20, BAD))
    assert told(verdict(board))["verdict"] == "SEND_BACK"
    half = started(row(20, BAD, "country=DE"), row(10, GOOD))
    assert list(half.publish(lambda _: True)) == []


def test_what_could_not_be_written_did_not_move_anything() -> None:
    board = started(row(10, GOOD))
    assert verdict(board) is not None
    board.accept(*row(20, BAD))
    lost = next(one for one in board.publish(lambda _: True) if one.topic == "verdicts")
    board.unpublish(lost)
    assert verdict(board) == lost.value


def test_new_books_that_say_the_same_are_not_worth_another_record() -> None:
    board = started(row(10, GOOD))
    assert verdict(board) is not None
    board.accept(*vitals(2))
    assert verdict(board) is None


def test_what_is_no_verdict_does_not_stand() -> None:
    value = orjson.dumps({**told(verdict(started(row(20, BAD)))), "verdict": "MAYBE"})
    assert told(verdict(started(row(30, GOOD), stands=value)))["previous"] is None
    assert told(verdict(started(row(30, GOOD), stands=b"{")))["previous"] is None
