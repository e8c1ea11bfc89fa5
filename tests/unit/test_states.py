"""The states of a verdict: one table, with a row for every pair, and what it promises."""

import itertools
import typing

import pytest

from shadowbus.decide.decision import verdict_of
from shadowbus.records import PreviousVerdict
from shadowbus.settings import GateSettings
from shadowbus.verdict.criterion import Verdict
from shadowbus.verdict.gate import Counts, Evidence
from shadowbus.verdict.states import MOVES, START, move

WORDS: tuple[Verdict, ...] = typing.get_args(Verdict)
GATE = GateSettings(min_requests=100, max_error_rate=0.05)

SEEN = {
    "KEEP_WATCHING": Counts(comparisons=10, asked=10),
    "PROMOTE": Counts(comparisons=5_000, asked=5_000, shadow_errors=10),
    "SEND_BACK": Counts(comparisons=5_000, asked=5_000, shadow_errors=1_000),
}
"""Counts that show each verdict by themselves."""


def test_every_pair_has_one_row() -> None:
    assert sorted((row.stands, row.shown) for row in MOVES) == sorted(itertools.product(WORDS, WORDS))


def test_a_trial_begins_at_keep_watching() -> None:
    for shown in WORDS:
        assert move(None, shown) == move(START, shown) == move("KEEP_WATCHING", shown)


def test_only_these_moves_are_legal() -> None:
    taken = {(row.stands, row.becomes) for row in MOVES if row.becomes != row.stands}
    assert taken == {
        ("KEEP_WATCHING", "PROMOTE"),
        ("KEEP_WATCHING", "SEND_BACK"),
        ("PROMOTE", "KEEP_WATCHING"),
        ("PROMOTE", "SEND_BACK"),
    }


def test_a_verdict_becomes_what_is_shown_or_stays_and_a_move_that_did_not_happen_is_explained() -> None:
    for row in MOVES:
        assert row.becomes in (row.shown, row.stands)
        assert row.refused == (row.becomes != row.shown)
        assert bool(row.note) == (row.stands != row.shown), row


def test_what_stands_has_to_be_a_verdict() -> None:
    with pytest.raises(ValueError, match="'MAYBE' is no verdict"):
        move("MAYBE", "PROMOTE")


@pytest.mark.parametrize(("stands", "shown"), list(itertools.product([None, *WORDS], WORDS)))
def test_a_record_says_what_is_shown_what_stood_before_and_since_when(stands: str | None, shown: Verdict) -> None:
    before = None if stands is None else PreviousVerdict(stands, 111)
    record = verdict_of(Evidence("a@1~b@2", SEEN[shown], {}), GATE, {}, 999, before)
    row = move(stands, shown)
    assert (record.shown, record.verdict, record.previous, record.note) == (shown, row.becomes, before, row.note)
    assert record.since_ms == (111 if stands == record.verdict else 999)
    assert record.decided_ms == 999


def test_a_version_that_was_sent_back_needs_nothing_more() -> None:
    record = verdict_of(Evidence("a@1~b@2", SEEN["KEEP_WATCHING"], {}), GATE, {}, 9, PreviousVerdict("SEND_BACK", 1))
    assert record.needed == {"requests": 0, "labels": 0, "note": "", "at_ms": None}
    assert "final" in record.note
