"""Labels that come for some requests rather than for others: seen, named, and allowed for; late labels are not."""

import doctest
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shadowbus.settings import GateSettings
from shadowbus.verdict import coverage as coverage_module
from shadowbus.verdict.counts import Counts, Covered, Evidence
from shadowbus.verdict.coverage import dependence, log_tail, shown, unknown
from shadowbus.verdict.criteria.accuracy import difference
from shadowbus.verdict.criteria.means import value
from shadowbus.verdict.criterion import Alphas, Criterion, Decision
from shadowbus.verdict.gate import decide
from shadowbus.verdict.sequential import bounded_high, bounded_low, paired_high, paired_low

GATE = GateSettings(min_requests=0, accuracy_margin=0.02, guard_segments=False)


def counted(agreed: tuple[int, int], disagreed: tuple[int, int], shadow_only: int = 0, live_only: int = 0) -> Counts:
    """Requests and labels among them, where models agree and where they do not; all that agree are right."""
    right, wrong = agreed[1], disagreed[1] - shadow_only - live_only
    compared, labels = agreed[0] + disagreed[0], agreed[1] + disagreed[1]
    return Counts(
        comparisons=compared, asked=compared, compared=compared, agreed=agreed[0], labels=labels, both_right=right,
        shadow_only=shadow_only, live_only=live_only, both_wrong=wrong, labelled_agreed=agreed[1],
        labelled_disagreed=disagreed[1],
    )  # fmt: skip


def decided(counts: Counts, gate: GateSettings = GATE, **more: object) -> Decision:
    return decide(replace(Evidence("live@1~new@2", counts, {}, exact=True), **more), gate)  # type: ignore[arg-type]


def named(decision: Decision, name: str) -> Criterion:
    (found,) = [criterion for criterion in decision.criteria if criterion.name == name]
    return found


def test_the_examples_in_the_docstrings_are_right() -> None:
    result = doctest.testmod(coverage_module)
    assert result.attempted > 0
    assert result.failed == 0


# The test of a draw without replacement.


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_the_tail_is_never_below_the_exact_one_and_near_it_where_it_matters(
    part: int, rest: int, data: st.DataObject
) -> None:
    kind = Covered(data.draw(st.integers(0, part)), part)
    others = Covered(data.draw(st.integers(0, rest)), rest)
    drawn = int(kind.labelled + others.labelled)
    exact = float(stats.hypergeom.sf(kind.labelled - 1, part + rest, part, drawn))
    found = math.exp(log_tail(kind, others))
    assert found >= exact * (1 - 1e-9)
    if exact < 0.01:
        assert found <= 2 * exact


def test_labels_that_are_as_late_for_one_kind_as_for_another_seldom_raise_a_false_alarm() -> None:
    """Looked at after every 50 requests; each label comes after a delay of its own, or never."""
    random, runs, requests, alpha = np.random.default_rng(3), 400, 2_000, 0.2
    alarms = 0
    for _ in range(runs):
        differs = random.random(requests) < 0.1
        comes = np.arange(requests) + random.exponential(400, requests)
        comes[random.random(requests) < 0.2] = np.inf
        for now in range(50, requests + 1, 50):
            there = comes[:now] <= now
            ours = Covered(int((there & differs[:now]).sum()), int(differs[:now].sum()))
            both = Covered(int(there.sum()), now)
            if shown(ours, both, int(now + there.sum()), alpha):
                alarms += 1
                break
    assert alarms / runs <= alpha


@pytest.mark.parametrize(("rare", "common", "by"), [(0.0, 1.0, 50), (0.4, 0.6, 3_000), (0.9, 0.95, 10_000)])
def test_labels_that_come_for_some_rather_than_for_others_are_noticed(rare: float, common: float, by: int) -> None:
    """Of one request in three the label is `rare`."""
    third, rest = by // 3, by - by // 3
    kind, others = Covered(int(rare * third), third), Covered(int(common * rest), rest)
    both = Covered(kind.labelled + others.labelled, by)
    assert shown(kind, both, int(by + both.labelled), 0.05 / 4)


def test_labels_ahead_of_their_comparisons_say_nothing() -> None:
    assert not shown(Covered(50, 10), Covered(100, 100), 200, 0.05)


# What missing labels may be.


def completions(counts: Counts, *, exact: bool) -> Iterator[tuple[int, int]]:
    """Every way to complete the labels: only the shadow right, only the live model right."""
    missing = int(counts.compared - (counts.agreed + counts.labelled_disagreed if exact else counts.paired))
    for answers in itertools.product((-1, 0, 1), repeat=missing):
        yield int(counts.shadow_only) + answers.count(1), int(counts.live_only) + answers.count(-1)


@pytest.mark.parametrize("exact", [True, False])
@settings(max_examples=25)
@given(st.data())
def test_the_bounds_are_those_of_the_worst_and_of_the_best_completion(exact: bool, data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, 5))
    labelled = data.draw(st.integers(0, 40))
    ours = data.draw(st.integers(0, labelled))
    theirs = data.draw(st.integers(0, labelled - ours))
    agreed = data.draw(st.integers(0, 300))
    counts = counted((agreed, 0 if exact else agreed), (labelled + missing, labelled), ours, theirs)
    evidence = Evidence("t", counts, {}, exact=exact, labels_depend=True)
    assert unknown(evidence, counts) == (missing, agreed + labelled + missing)
    found = difference("accuracy", evidence, counts, -0.02, Alphas(0.05, 0.01)).criterion
    every, trials = set(completions(counts, exact=exact)), counts.compared
    assert found.low == min(paired_low(up, down, trials, 0.05) for up, down in every)
    assert found.high == max(paired_high(up, down, trials, 0.01) for up, down in every)


def test_a_value_is_bounded_by_what_the_missing_decisions_can_be_worth() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate((random.choice([-2.0, 1.0, 3.0], 12), np.zeros(60)))  # 12 labelled disagreements
    counts = replace(
        counted((60, 60), (15, 12)),
        value_n=72, value_mean=float(values.mean()), value_m2=float(((values - values.mean()) ** 2).sum()),
    )  # fmt: skip
    evidence = Evidence("t", counts, {}, exact=True, value_reach=3.0, labels_depend=True)
    found = value(evidence, -0.5, Alphas(0.05, 0.01)).criterion
    lows, highs = [], []
    for rest in itertools.product((-3.0, 0.0, 3.0), repeat=3):
        every = np.concatenate((values, rest))
        sums = (75, float(every.mean()), float(((every - every.mean()) ** 2).sum()))
        lows.append(bounded_low(*sums, 0.05, 3.0, 0.5))
        highs.append(bounded_high(*sums, 0.01, 3.0, 0.5))
    assert found.low == pytest.approx(min(lows))
    assert found.high == pytest.approx(max(highs))


# What the gate makes of it.


def loans(requests: int) -> tuple[Counts, dict[str, Covered]]:
    """The live model declines three in ten, and only approved loans ever show how they went.

    The shadow declines 5 % of the approved ones, mostly rightly, and approves as many of the declined, mostly wrongly.
    """
    declines = 3 * requests // 10
    approves, flips = requests - declines, requests // 20
    counts = counted(
        (requests - 2 * flips, approves - flips),
        (2 * flips, flips),
        shadow_only=7 * flips // 10,
        live_only=3 * flips // 10,
    )
    return counts, {"approve": Covered(approves, approves), "decline": Covered(0, declines)}


def test_a_model_that_looks_better_only_where_labels_exist_is_not_promoted() -> None:
    counts, by_live = loans(20_000)
    naive = decided(counts, replace(GATE, labels_at_random=True), by_live=by_live)
    assert naive.verdict == "PROMOTE"
    decision = decided(counts, by_live=by_live)
    assert decision.verdict == "KEEP_WATCHING"
    found = named(decision, "coverage")
    assert (found.state, found.low, found.high) == ("open", 0.5, 13_000 / 18_000)
    assert "depends on whether both models agree: 50.0% of disagreements have it, 72.2% of agreements" in found.note
    accuracy = named(decision, "accuracy")
    # If the shadow were wrong about every loan that was declined: 700 - 300 - 1,000 of 20,000.
    assert accuracy.state == "open"
    assert accuracy.low < (700 - 300 - 1_000) / 20_000 < -0.02
    assert accuracy.high > (700 - 300 + 1_000) / 20_000
    assert "could be anything" in decision.needed.note
    assert decision.needed.labels is None


def test_what_labels_depend_on_may_be_the_live_prediction_alone() -> None:
    """Labels of four in ten agreements and disagreements, all of them of one class."""
    counts = counted((9_000, 3_600), (1_000, 400), 250, 50)
    by_live = {"no": Covered(4_000, 6_000), "yes": Covered(0, 4_000)}
    assert "coverage" not in [found.name for found in decided(counts).criteria]
    found = named(decided(counts, by_live=by_live), "coverage")
    assert "depends on the live prediction: 0.0% of yes have it, 66.7% of no" in found.note


def test_where_whatever_is_missing_changes_nothing_it_is_said_and_promoted() -> None:
    """All disagreements are labelled, agreements hardly ever: the missing ones are right or wrong together."""
    counts = counted((19_000, 500), (1_000, 1_000), 600, 200)
    decision = decided(counts)
    assert decision.verdict == "PROMOTE"
    assert named(decision, "coverage").state == "holds"
    # Labels alone would have said 400 of 1,500; it is 400 of 20,000.
    assert named(decision, "accuracy").value == pytest.approx(0.02)


def test_without_knowing_that_agreeing_means_right_together_the_same_is_open() -> None:
    counts = counted((19_000, 500), (1_000, 1_000), 600, 200)
    assert decided(counts, exact=False).verdict == "KEEP_WATCHING"


def test_a_segment_is_not_sent_back_for_labels_that_speak_of_some_requests_only() -> None:
    whole, part = counted((10_000, 9_000), (2_000, 900), 500, 200), counted((500, 450), (400, 60), 0, 60)
    gate = replace(GATE, guard_segments=True)
    evidence = Evidence("t", whole, {"country=DE": part}, exact=True)
    assert decide(evidence, replace(gate, labels_at_random=True)).verdict == "SEND_BACK"
    assert named(decide(evidence, gate), "accuracy:country=DE").state == "open"
    sure = replace(part, live_only=400, both_wrong=0, labelled_disagreed=400, labels=850)
    assert decide(replace(evidence, segments={"country=DE": sure}), gate).verdict == "SEND_BACK"


@pytest.mark.parametrize("name", ["loss", "calibration"])
def test_of_losses_and_scores_nothing_is_known_then(name: str) -> None:
    gate = GateSettings(min_requests=0, max_loss_increase=0.1, max_calibration_error=0.9)
    counts = replace(loans(20_000)[0], loss_n=13_000, loss_mean=-0.1, loss_m2=13_000.0)
    found = named(decided(counts, gate), name)
    assert found.state == "open"
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert decided(counts, replace(gate, max_calibration_error=None, labels_at_random=True)).verdict == "PROMOTE"


def test_labels_that_nothing_rests_on_are_not_looked_at() -> None:
    counts, by_live = loans(20_000)
    decision = decided(counts, GateSettings(max_error_rate=0.01), by_live=by_live)
    assert [found.name for found in decision.criteria] == ["requests", "error_rate"]


def test_late_labels_alone_hardly_ever_look_as_if_they_depended_on_anything() -> None:
    """Labels come ten days late for every request alike; the gate looks each day for sixty days."""
    random, found = np.random.default_rng(8), list[bool]()
    for _ in range(40):
        differs = random.binomial(1_000, 0.1, 60).cumsum()
        for day in range(11, 60):
            requests, labels, late = 1_000 * (day + 1), 1_000 * (day - 9), int(differs[day - 10])
            agreed = requests - int(differs[day]), labels - late
            counts = counted(agreed, (int(differs[day]), late), late // 2, late // 3)
            depends = dependence(Evidence("t", counts, {}, exact=True), GATE)
            found += [depends.certain] if depends is not None else []
    assert not any(found)
    assert len(found) <= 0.04 * 40 * 49  # looks of one run resemble each other


def test_a_worse_model_that_looks_equal_where_labels_exist_is_not_promoted_in_time() -> None:
    """3 points worse, with a margin of 2. Eight in ten labels come, but five in ten where only the live model is right.

    By the labels alone the models seem to be equal, and that is shown long before the dependence is.
    """
    random, runs, naive, promoted = np.random.default_rng(1), 40, 0, 0
    for _ in range(runs):
        right = random.choice([1, -1, 0], 6_000, p=[0.035, 0.065, 0.9])
        there = random.random(6_000) < np.where(right < 0, 0.5, 0.8)
        by_labels = by_gate = False
        for n in range(1_000, 6_001, 500):
            ours, theirs = (int((there[:n] & (right[:n] == side)).sum()) for side in (1, -1))
            differ, labels = int((right[:n] != 0).sum()), int(there[:n].sum())
            if paired_low(ours, theirs, labels, 0.05) >= -0.02:
                by_labels, apart = True, (differ, ours + theirs)
                counts = counted((n - differ, labels - ours - theirs), apart, ours, theirs)
                by_gate |= decided(counts).verdict == "PROMOTE"
        naive, promoted = naive + by_labels, promoted + by_gate
    assert naive / runs > 0.5
    assert promoted / runs <= 0.05
