"""Trials that are over step back: on the page, in status and in the report; what was done about a verdict is said."""

import dataclasses
import doctest
from pathlib import Path

import pytest

from shadowbus.models.configured import configured
from shadowbus.records import Aggregate, Promotion, Verdict
from shadowbus.report.document import document
from shadowbus.report.writing import html, pull_request
from shadowbus.story import acting, past
from shadowbus.story.past import QUIET_MS, Span
from shadowbus.story.trial import Story, Told, tell
from staged import settings

LONG = QUIET_MS + 1


def aggregate(trial: str, first_ms: int, last_ms: int) -> Aggregate:
    return Aggregate(trial, "all", "all", {"first_ms": first_ms, "last_ms": last_ms}, {"requests": 5}, {}, 1)


def one(trial: str, span: Span, verdict: str = "PROMOTE", act: Promotion | None = None) -> Told:
    return Told(
        trial,
        [aggregate(trial, span.first_ms, span.last_ms)],
        [Verdict(trial, verdict, [], 5, 0, {}, span.last_ms)],
        act,
    )


def shown(*told: Told, configured: dict[str, str] | None = None) -> Story:
    return tell(told, 10 * LONG, configured=configured)


@pytest.mark.parametrize("module", [past, acting])
def test_examples_in_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["PROMOTE", "SEND_BACK"])
def test_without_a_way_to_act_the_next_step_is_no_command_that_would_fail(word: str) -> None:
    said = acting.next_step(Verdict("a@1~b@2", word, [], 5, 0, {}, 1), None, can_act=False)
    assert "[promotion]" in said
    assert "shadowbus promote" not in said
    assert "shadowbus send-back" not in said


@pytest.mark.parametrize(
    ("spans", "versions", "over"),
    [
        ({"a@1~b@1": Span(0, 9), "a@1~b@2": Span(9, 20)}, None, {"a@1~b@1": "b@2 runs in its place"}),
        ({"a@1~b@1": Span(0, 9), "a@2~b@1": Span(9, 20)}, None, {"a@1~b@1": "a@2 serves now"}),
        ({"a@1~b@1": Span(0, 15), "a@1~b@2": Span(9, 20)}, None, {}),
        ({"a@1~b@1": Span(0, 15), "a@1~b@2": Span(9, 15 + LONG)}, None, {"a@1~b@1": "b@2 runs in its place"}),
        ({"a@1~b@1": Span(0, 15 + LONG), "a@1~b@2": Span(9, 15)}, None, {"a@1~b@2": "b@1 runs in its place"}),
        ({"a@1~b@1": Span(0, 9), "a@1~c@1": Span(9, LONG * 3)}, None, {}),
        ({"a@1~b@1": Span(0, 9), "a@1~b@2": Span(9, 20)}, {"b": "1"}, {"a@1~b@2": "the settings run version 1 now"}),
        ({"a@1~b@1": Span(0, 9)}, {"b": "2"}, {"a@1~b@1": "the settings run version 2 now"}),
        ({"a@1~b@1": Span(0, 9)}, {"b": ""}, {}),
        ({"a@1~b@1": None}, {"c": ""}, {"a@1~b@1": "it is no longer in the settings"}),
        ({"a@1~b@1": None, "a@1~b@2": None}, None, {}),
    ],
)
def test_a_trial_is_over_when_another_has_its_place(
    spans: dict[str, Span | None], versions: dict[str, str] | None, over: dict[str, str]
) -> None:
    assert past.past(spans, versions) == over


def test_the_headline_names_what_goes_on_and_nobody_asks_for_what_is_over() -> None:
    told = shown(one("a@1~b@1", Span(0, 9)), one("a@1~b@2", Span(9, 20), "KEEP_WATCHING"))
    assert told.headline == "Keep watching b@2."
    assert [each.trial for each in told.trials] == ["a@1~b@2", "a@1~b@1"]
    (old,) = told.over
    assert old.headline == "b@1 is over: b@2 runs in its place. The last verdict was PROMOTE."
    assert not [warning for warning in old.warnings if "is the service running" in warning]
    assert (old.next, [each.trial for each in told.going]) == ("", ["a@1~b@2"])


def test_what_is_due_and_what_was_done_are_said() -> None:
    trial, span = "a@1~b@2", Span(0, 9)
    due = shown(one(trial, span)).trials[0]
    assert due.next.startswith("Next: `shadowbus promote --shadow b`")
    act = Promotion(trial, "promote", "done", "ada", 10, "", "", told="The alias points at 2.")
    done = shown(one(trial, span, act=act))
    assert done.headline == "b@2 was promoted."
    assert done.trials[0].headline == "b@2 was promoted: it may replace a@1."
    assert 'model = "b@2"' in done.trials[0].next
    for step in ("begun", "failed", "requested", "approved"):
        assert shown(one(trial, span, act=dataclasses.replace(act, step=step))).headline == "Promote b@2."


def test_what_was_done_about_an_earlier_verdict_is_not_done_now() -> None:
    trial = "a@1~b@2"
    act = Promotion(trial, "promote", "done", "ada", 10, "", "")
    again = Told(trial, [aggregate(trial, 0, 9)], [Verdict(trial, "PROMOTE", [], 5, 0, {}, 30, since_ms=20)], act)
    (story,) = shown(again).trials
    assert (story.done, story.act) == (False, None)


def test_the_report_says_it_too() -> None:
    act = Promotion("a@1~b@2", "promote", "done", "ada", 1_760_000_000_000, "", "", told="The alias points at 2.")
    told = [one("a@1~b@1", Span(0, 9)), one("a@1~b@2", Span(9, 20), act=act)]
    made = document(told, source="test", made_ms=1, draw=None)
    for text in (html(made), pull_request(made).replace("\u200b", "")):
        assert "b@2 was promoted" in text
        assert "by ada, 2025-10-09 08:53 UTC" in text
        assert "b@1 is over: b@2 runs in its place" in text


def test_a_bundle_that_cannot_be_read_here_leaves_the_version_open(tmp_path: Path) -> None:
    one_more = dataclasses.replace(settings(), source=tmp_path / "shadow.toml")
    assert set(configured(one_more).values()) == {""}
