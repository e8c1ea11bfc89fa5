"""What a person is told is what the records say: held against counts made of the comparisons themselves."""

import doctest
import importlib
import pkgutil
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from shadowbus import story
from shadowbus.records import Aggregate, Verdict, decode
from shadowbus.story.criteria import read
from shadowbus.story.fields import section
from shadowbus.story.history import MOST, changes, narrowing, remember
from shadowbus.story.segments import segments
from shadowbus.story.timeline import per_second, thick
from shadowbus.story.trial import Story, Told, TrialStory, tell, trials_of
from shadowbus.totals import windows
from staged import CLASSES, SETTINGS, START_MS, Staged, settings


class Seen:
    """Everything published so far, kept as a reader of the topics would."""

    def __init__(self, staged: Staged) -> None:
        self.staged = staged
        self.aggregates: dict[bytes, Aggregate] = {}
        self.history: dict[str, list[Verdict]] = {}

    def play(self, requests: int, labelled: float = 1.0) -> "Seen":
        for one in self.staged.play(requests, labelled):
            assert one.value is not None
            if one.topic == "aggregates":
                self.aggregates[one.key] = decode(Aggregate, one.value)
            else:
                remember(self.history.setdefault(one.key.decode(), []), decode(Verdict, one.value))
        return self

    def told(self) -> list[Told]:
        return trials_of(self.aggregates.values(), self.history)

    def story(self) -> Story:
        return tell(self.told(), self.staged.now_ms)

    def comparisons(self, shadow: str) -> list[dict[str, Any]]:
        trial = self.staged.trial(shadow)
        return [one for one in map(orjson.loads, self.staged.comparisons) if one["trial"] == trial]


@pytest.fixture(scope="module")
def early() -> Story:
    return Seen(Staged(settings())).play(200).story()


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen(Staged(settings())).play(200).play(1_000)


@pytest.fixture(scope="module")
def late(seen: Seen) -> Story:
    return seen.story()


def of(told: Story, shadow: str) -> TrialStory:
    return next(one for one in told.trials if one.shadow.startswith(shadow))


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(story.__path__)])
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"shadowbus.story.{name}")).failed == 0


def test_the_first_sentences_say_which_shadow_to_promote(late: Story) -> None:
    assert late.headline == "Promote better@1. Send back crasher@1 and worse@1."
    assert [one.shadow for one in late.trials] == ["better@1", "crasher@1", "worse@1", "control@1"]
    assert of(late, "better").headline == "Yes, promote better@1: it may replace champion@1."
    assert of(late, "control").headline.startswith("Nothing to promote")
    assert of(late, "crasher").why.startswith("It fails on 1.2 % of the requests (between 0.47 % and 2.5 %)")
    worse = r"It is right 15\.6 points less often than the live model \(between 1\d\.\d and 1\d\.\d points\), "
    assert re.match(worse, of(late, "worse").why)


def test_before_anything_is_settled_the_story_says_what_is_missing_and_when(early: Story) -> None:
    assert early.headline == "Keep watching better@1, crasher@1 and worse@1."
    better = of(early, "better")
    assert better.why.startswith("Nothing is shown to fail; not yet shown to hold: enough requests")
    assert better.needed.requests is not None
    rate = 1000 / 20  # staged requests are 20 ms apart
    assert better.needed.seconds == pytest.approx(better.needed.requests / rate, rel=0.02)
    assert "more requests" in better.needed.text


@pytest.mark.parametrize("shadow", ["better", "worse", "crasher", "control"])
def test_tables_are_those_of_the_comparisons(late: Story, seen: Seen, shadow: str) -> None:
    told, records = of(late, shadow), seen.comparisons(shadow)
    compared = [one for one in records if one["status"] == "compared"]
    pairs = Counter((one["live"]["prediction"], one["shadow"]["prediction"]) for one in compared)
    assert told.confusion is not None
    cells = {
        (live, said): told.confusion.counts[i][j]
        for i, live in enumerate(told.confusion.classes)
        for j, said in enumerate(told.confusion.classes)
    }
    assert cells == {(live, said): pairs[live, said] for live in CLASSES for said in CLASSES}
    assert told.confusion.differing == sum(not one["agree"] for one in compared)
    assert told.right.labels == len(compared)
    (answered, crashed) = (dict(told.books.equations[0].terms).get(name, 0) for name in ("compared", "shadow crashed"))
    statuses = Counter(one["status"] for one in records)
    assert (answered, crashed) == (statuses["compared"], statuses["shadow_crash"])
    assert sum(amount for _, amount in told.books.equations[0].terms) == told.books.equations[0].read == len(records)
    assert told.distribution is not None
    assert dict(zip(told.distribution.names, told.distribution.shadow, strict=True)) == pytest.approx(
        {name: sum(one["shadow"]["prediction"] == name for one in compared) / len(compared) for name in CLASSES}
    )


def test_windows_add_up_to_the_whole(late: Story) -> None:
    moments = of(late, "better").timeline
    assert [one.start_ms for one in moments] == sorted(one.start_ms for one in moments)
    assert sum(one.requests for one in moments) == 1_200
    assert all((one.start_ms - START_MS) % 5_000 == 0 for one in moments)
    assert all(one.shadow_p50 is not None and one.shadow_p50 > 0 for one in moments)


def test_the_pace_is_that_of_the_newest_windows(seen: Seen) -> None:
    (better,) = [one for one in seen.told() if "better" in one.trial]
    assert per_second(better.aggregates) == pytest.approx((50.0, 50.0), rel=0.01)
    assert per_second([]) == (0.0, 0.0)


def test_segments_that_are_harmed_come_first(late: Story, seen: Seen) -> None:
    told = of(late, "worse").segments
    assert [one.name for one in told] == ["day=weekend", "day=weekday"]
    weekend = [one for one in seen.comparisons("worse") if one["segments"]["day"] == "weekend"]
    assert told[0].requests == len(weekend)
    assert told[0].state == "fails"
    crowd = [replace(one, segment=f"day={n}") for n, one in enumerate(seen.aggregates.values()) if one.segment != "all"]
    ordered = [one.difference or 0.0 for one in segments(crowd, ())]
    assert ordered == sorted(ordered)


def test_the_control_is_the_noise_floor_of_all_others(late: Story) -> None:
    assert late.noise is not None
    assert late.noise.floor == 0
    assert of(late, "better").noise_text.endswith("beyond the noise floor of 0 %.")
    noisy = settings(shadow=[{"name": "twin", "model": "twin"}])
    alone = Seen(Staged(noisy, cast={"twin": Staged(noisy).cast["better"]})).play(50)
    assert "not known without a control" in alone.story().trials[0].noise_text
    assert tell(alone.told(), controls=frozenset({"twin"})).trials[0].control


def test_a_healthy_harness_gives_no_warning_and_a_broken_one_says_what(seen: Seen, late: Story) -> None:
    assert [one.warnings for one in late.trials] == [(), (), (), ()]
    (whole,) = [one for one in seen.aggregates.values() if (one.segment, one.window) == ("all", "all")][:1]
    books = {**whole.books, "closes": False, "gap": 3, "note": "3 requests of partition 0 are unaccounted for."}
    summary: dict[str, object] = {
        **whole.summary,
        "live_errors": {"value": 0.02},
        "coverage": {"agreed": {"value": 0.9}, "disagreed": {"value": 0.2}},
        "features": {"complete": {"value": 0.5}},
        "resources": {**section(whole.summary, "resources"), "lag": 9_000, "circuit_open": 1},
    }
    broken = replace(whole, summary=summary, books=books)
    (told,) = tell([Told(whole.trial, [broken])], broken.updated_ms + 1_800_000).trials
    said = "\n".join(told.warnings)
    for words in ("do not close: 3 records", "stopped asking", "9,000 records behind", "lack a feature"):
        assert words in said
    for words in ("live model itself failed on 2.0 %", "90.0 % of the requests on which both agree", "for 30 minutes"):
        assert words in said


def test_a_verdicts_history_is_its_changes_and_stays_bounded() -> None:
    history: list[Verdict] = []
    for at in range(5 * MOST):
        word = "KEEP_WATCHING" if at < 700 else "PROMOTE"
        criterion = {"name": "accuracy", "value": 0.1, "low": -1 / (at + 1), "high": 1.0, "limit": 0.0, "state": "open"}
        remember(history, Verdict("a~b@1", word, [criterion], at, at, {}, at))
    assert len(history) <= MOST
    assert [(one.verdict, one.at_ms) for one in changes(history)] == [("PROMOTE", 700), ("KEEP_WATCHING", 0)]
    lows = [point.low or 0.0 for point in narrowing(history, "accuracy")]
    assert lows == sorted(lows)
    remember(history, Verdict("a~b@1", "KEEP_WATCHING", [], 1, 1, {}, 0))
    assert len(history) == 1  # the topic was read again from its beginning


def test_numbers_of_another_task_have_ranges() -> None:
    summary: dict[str, object] = {
        "predictions": {"kind": "numbers", "edges": [1.0, 2.5], "live": [0.2, 0.3, 0.5], "shadow": [0.1, 0.4, 0.5]}
    }
    (told,) = tell([Told("a~b@1", [Aggregate("a~b@1", "all", "all", {}, summary, {}, 1)])]).trials
    assert told.distribution is not None
    assert told.distribution.names == ("under 1", "1 to 2.5", "2.5 or more")
    assert told.confusion is None


@pytest.mark.parametrize(
    "odd", [None, "x", [1], {"value": "NaN"}, {"classes": ["a"], "counts": [[1, 2]]}, float("inf")]
)
def test_records_of_whatever_shape_are_told_without_an_error(odd: object) -> None:
    names = [
        *SETTINGS,
        "accuracy",
        "agreement",
        "confusion",
        "right",
        "predictions",
        "resources",
        "coverage",
        "features",
    ]
    summary: dict[str, object] = dict.fromkeys(names, odd)
    verdict = Verdict("a~b@1", "MAYBE", [odd, {"name": "x", "value": odd}], 0, 0, {"requests": odd}, 0, {"gap": odd})
    aggregates = [
        Aggregate("a~b@1", place, window, {}, summary, summary, 1)
        for place in ("all", "s=1")
        for window in ("all", "5")
    ]
    (told,) = tell([Told("a~b@1", aggregates, [verdict])], 2).trials
    assert told.headline == "The verdict on b@1 is MAYBE."


def test_a_criterion_without_words_of_its_own_still_says_on_which_side_it_has_to_be() -> None:
    (one,) = read({"name": "brier_score:x=1", "value": 0.2, "low": 0.1, "high": 0.25, "limit": 0.3, "state": "holds"})
    assert one.sentence == "Brier score, where x=1: 0.2 (between 0.1 and 0.25), has to be at most 0.3"


def test_nothing_yet_is_said_so() -> None:
    assert tell([]).headline == "No trial has begun yet."


def test_windows_start_small_and_grow_with_a_trial() -> None:
    """10 s, then a minute, then five: none is lost where they change, and a restart goes on as before."""
    young = settings(aggregate={"window_seconds": 300})
    seen = Seen(Staged(young, start_ms=START_MS - START_MS % 300_000, step_ms=4_000)).play(200)
    starts = [one.start_ms for one in of(seen.story(), "better").timeline]
    assert {after - before for before, after in pairwise(starts)} == {10_000, 60_000}
    seen.staged.restart()
    moments = of(seen.play(1_000).story(), "better").timeline
    assert sum(one.requests for one in moments) == 1_200
    starts = [one.start_ms for one in moments]
    gaps = [after - before for before, after in pairwise(starts)]
    assert (gaps.count(10_000), gaps.count(60_000), sorted(set(gaps))) == (60, 50, [10_000, 60_000, 300_000])


def test_examples_of_windows_are_true() -> None:
    assert doctest.testmod(windows).failed == 0


def test_thin_windows_are_put_together(late: Story) -> None:
    thin = [
        replace(one, requests=1, labels=1, agreement=float(n % 4 == 0), agreement_low=0.0, agreement_high=1.0)
        for n, one in enumerate(of(late, "better").timeline * 13)
    ]
    found = thick(thin)
    assert 0 <= len(thin) - sum(one.requests for one in found) < 20
    assert {one.requests for one in found[:-1]} == {20}
    assert {(one.agreement, one.agreement_low) for one in found[:-1]} == {(0.25, None)}
    assert thick(of(late, "better").timeline) == of(late, "better").timeline


@pytest.mark.parametrize("odd", [None, [], [[1]], [["a", "b"], [1, 2]]])
def test_labels_that_nobody_answers_are_told_of_and_odd_tables_are_not(odd: object) -> None:
    good: dict[str, object] = {"classes": ["No", "no"], "live": [[0, 40], [0, 60]], "shadow": [[0, 40], [0, 60]]}
    whole = Aggregate("a~b@1", "all", "all", {}, {"truth": good}, {}, 1)
    (told,) = tell([Told("a~b@1", [whole])]).trials
    assert "40.0 % of the labels are 'No'" in " ".join(told.warnings)
    (told,) = tell([Told("a~b@1", [replace(whole, summary={"truth": {**good, "live": odd}})])]).trials
    assert "labels are" not in " ".join(told.warnings)
    rare = {**good, "live": [[0, 4], [0, 96]], "shadow": [[0, 4], [0, 96]]}
    assert tell([Told("a~b@1", [replace(whole, summary={"truth": rare})])]).trials[0].warnings == ()
