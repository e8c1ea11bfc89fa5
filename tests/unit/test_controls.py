"""A control is the live model itself: nothing anywhere promotes it. A shadow that was removed is history."""

import dataclasses
from typing import Any

import pytest

from shadowbus.cli.read.verdict import EXIT_CODES
from shadowbus.notify.due import changes
from shadowbus.promotion.course import NotAllowed, Standing, check_verdict
from shadowbus.records import Verdict, decode, encode
from shadowbus.settings import GateSettings
from shadowbus.settings.webhook import NotifySettings
from shadowbus.story.trial import tell, trials_of
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.gate import decide
from staged import SETTINGS, Staged, settings

CONTROL, BETTER = "champion@1~control@1", "champion@1~better@1"


def newest(staged: Staged, requests: int) -> dict[str, Verdict]:
    published = [one for one in staged.play(requests) if one.topic == "verdicts" and one.value]
    return {one.key.decode(): decode(Verdict, one.value) for one in published}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return newest(Staged(settings()), 1_200)


def test_whatever_it_shows_the_gate_does_not_promote_a_control() -> None:
    seen = Counts(comparisons=5_000, asked=5_000)
    gate = GateSettings(max_error_rate=0.01)
    assert decide(Evidence("a|b", seen, {}), gate).verdict == "PROMOTE"
    decision = decide(Evidence("a|b", seen, {}, control=True), gate)
    assert decision.verdict == "KEEP_WATCHING"
    assert decision.needed.note == "It is the control: its disagreement is noise."
    assert (decision.needed.requests, decision.needed.labels) == (None, None)


def test_a_control_that_fails_is_still_told() -> None:
    seen = Counts(comparisons=5_000, asked=5_000, shadow_errors=2_000)
    assert decide(Evidence("a|b", seen, {}, control=True), GateSettings(max_error_rate=0.01)).verdict == "SEND_BACK"


def test_the_published_record_says_so_and_all_who_read_it_follow(verdicts: dict[str, Verdict]) -> None:
    control = verdicts[CONTROL]
    assert verdicts[BETTER].verdict == "PROMOTE"
    states = {one["state"] for one in control.criteria if isinstance(one, dict) and ":" not in one["name"]}
    assert states == {"holds"}
    assert (control.verdict, control.control) == ("KEEP_WATCHING", True)
    assert not verdicts[BETTER].control
    assert EXIT_CODES[control.verdict] == 10
    receiver = NotifySettings(name="chat", url="https://x.example")
    assert CONTROL not in {one.verdict.trial for one in changes([receiver], verdicts.values(), {})}


def test_the_story_knows_a_control_by_its_record_and_not_by_its_name(verdicts: dict[str, Verdict]) -> None:
    twin = dataclasses.replace(verdicts[CONTROL], trial="champion@1~twin@1")
    namesake = dataclasses.replace(verdicts[BETTER], trial=CONTROL)
    told = tell(trials_of([], {one.trial: [one] for one in (twin, namesake)}))
    assert {one.shadow: one.control for one in told.trials} == {"twin@1": True, "control@1": False}


@pytest.mark.parametrize("action", ["promote", "send_back"])
@pytest.mark.parametrize("verdict", ["PROMOTE", "SEND_BACK", "KEEP_WATCHING"])
def test_nothing_is_done_about_a_control(verdicts: dict[str, Verdict], action: str, verdict: str) -> None:
    standing = Standing("digits", dataclasses.replace(verdicts[CONTROL], verdict=verdict))
    with pytest.raises(NotAllowed, match="is the control"):
        check_verdict(standing, action)


def test_a_shadow_that_was_removed_keeps_its_last_verdict() -> None:
    staged = Staged(settings())
    before = newest(staged, 1_000)
    left: list[dict[str, Any]] = [one for one in SETTINGS["shadow"] if one["name"] != "better"]
    verdicts = {name.encode(): encode(dataclasses.replace(one, criteria=[])) for name, one in before.items()}
    staged.downstream.restart(settings(shadow=left, gate={"max_error_rate": 0.5, "min_requests": 1}), verdicts)
    decided = {one.key.decode() for one in staged.downstream.publish() if one.topic == "verdicts"}
    assert BETTER not in decided
    assert CONTROL in decided


def test_what_it_answered_is_not_taken_for_classes() -> None:
    terms = MetricDefinitions.of(settings(shadow=[{"name": "price", "model": "p", "task": "regression"}]))
    assert terms.kind_of("live@1~price@1") == "numbers"
    assert terms.kind_of("live@1~gone@1") == ""
