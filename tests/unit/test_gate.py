"""The gate: cases worked by hand, and laws that hold for any counts."""

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shadowbus.settings import GateSettings
from shadowbus.verdict import gate as gate_module
from shadowbus.verdict.gate import Counts, Criterion, Decision, Evidence, decide
from shadowbus.verdict.sequential import paired_high, paired_low, rate_high, rate_low

ERRORS = GateSettings(min_requests=0, max_error_rate=0.001)
ACCURACY = GateSettings(min_requests=0, accuracy_margin=0.01)
ALL = GateSettings(
    min_requests=1_000,
    max_error_rate=0.01,
    latency_budget_ms=50.0,
    max_over_budget=0.05,
    min_agreement=0.8,
    accuracy_margin=0.01,
    min_labels=200,
)


def asked(requests: int, errors: int = 0) -> Counts:
    return Counts(comparisons=requests, asked=requests, shadow_errors=errors, compared=requests - errors)


def judged(labels: int, shadow_only: int, live_only: int) -> Counts:
    right = labels - shadow_only - live_only
    pairs = Counts(labels=labels, both_right=right, shadow_only=shadow_only, live_only=live_only)
    return replace(pairs, comparisons=labels, asked=labels, compared=labels, agreed=right)


def good(requests: int) -> Counts:
    """Nothing fails, 5 % timed alone and all in time, 9 % differ, the shadow is 4 % better."""
    counts = judged(requests, shadow_only=13 * requests // 200, live_only=5 * requests // 200)
    return replace(counts, latency_rows=requests // 20)


def decided(counts: Counts, gate: GateSettings, **segments: Counts) -> Decision:
    return decide(Evidence("champion@1|challenger@2", counts, segments), gate)


def criterion(decision: Decision, name: str) -> Criterion:
    (found,) = [criterion for criterion in decision.criteria if criterion.name == name]
    return found


def test_the_examples_in_the_docstrings_are_right() -> None:
    result = doctest.testmod(gate_module)
    assert result.attempted > 0
    assert result.failed == 0


# Cases worked by hand.


def test_ten_thousand_requests_without_an_error_show_an_error_rate_below_one_in_a_thousand() -> None:
    decision = decided(asked(10_000), ERRORS)
    assert decision.verdict == "PROMOTE"
    assert criterion(decision, "error_rate") == Criterion(
        "error_rate", 0.0, 0.0, rate_high(0, 10_000, 0.05), 0.001, "holds", n=10_000
    )
    # One look at a fixed sample would already have needed log(0.05) / log(0.999) = 2,995 requests.
    assert decided(asked(2_995), ERRORS).verdict == "KEEP_WATCHING"
    assert decided(asked(3_444), ERRORS).verdict == "PROMOTE"


def test_a_shadow_that_always_fails_is_sent_back_at_once() -> None:
    assert decided(asked(1, errors=1), ALL).verdict == "KEEP_WATCHING"
    assert decided(asked(3, errors=3), ALL).verdict == "SEND_BACK"
    # At a limit of one in a thousand the second error is a surprise; one alone, as in a cold start, decides nothing.
    assert decided(asked(1, errors=1), ERRORS).verdict == "KEEP_WATCHING"
    decision = decided(asked(2, errors=2), ERRORS)
    assert decision.verdict == "SEND_BACK"
    assert criterion(decision, "error_rate").state == "fails"


def test_before_anything_is_seen_it_keeps_watching_and_says_what_it_takes_at_least() -> None:
    decision = decided(Counts(), ALL)
    assert decision.verdict == "KEEP_WATCHING"
    assert decision.needed.requests == 1_000
    assert decision.needed.labels is not None
    assert decision.needed.labels >= 300  # the fastest bet on a margin of 1 %: log(20) / log(1.01) labels
    assert "at the earliest" in decision.needed.note
    assert criterion(decision, "error_rate").value is None
    assert {found.state for found in decision.criteria} == {"open"}


def test_a_clearly_better_shadow_is_promoted() -> None:
    decision = decided(good(2_000), ALL)
    assert decision.verdict == "PROMOTE"
    assert {found.state for found in decision.criteria} == {"holds"}
    assert (decision.requests, decision.labels) == (2_000, 2_000)
    assert (decision.needed.requests, decision.needed.labels) == (0, 0)


def test_a_clearly_worse_shadow_is_sent_back_for_its_accuracy() -> None:
    decision = decided(judged(1_000, shadow_only=50, live_only=150), ALL)
    assert decision.verdict == "SEND_BACK"
    assert [found.name for found in decision.criteria if found.state == "fails"] == ["accuracy"]


def test_a_shadow_that_is_worse_in_one_segment_only_is_sent_back_and_the_segment_named() -> None:
    parts = {"country=DE": judged(1_000, 20, 150), "country=FR": judged(3_000, 400, 50)}
    decision = decided(judged(4_000, 420, 200), ACCURACY, **parts)
    assert criterion(decision, "accuracy").state == "holds"
    assert criterion(decision, "accuracy:country=FR").state == "holds"
    assert criterion(decision, "accuracy:country=DE").state == "fails"
    assert decision.verdict == "SEND_BACK"
    assert decided(judged(4_000, 420, 200), replace(ACCURACY, guard_segments=False), **parts).verdict == "PROMOTE"


def test_a_segment_of_which_little_is_known_does_not_stand_in_the_way() -> None:
    decision = decided(judged(4_000, 420, 200), ACCURACY, **{"country=LU": judged(3, 0, 1)})
    assert criterion(decision, "accuracy:country=LU").state == "open"
    assert decision.verdict == "PROMOTE"


def test_a_segment_that_seems_worse_holds_promote_back_until_it_is_settled() -> None:
    parts = {"country=DE": judged(300, 5, 25), "country=FR": judged(3_700, 415, 175)}
    decision = decided(judged(4_000, 420, 200), ACCURACY, **parts)
    found = criterion(decision, "accuracy:country=DE")
    assert found.state == "open"
    assert "seems worse" in found.note
    assert decision.verdict == "KEEP_WATCHING"
    assert decision.needed.note == "SEND BACK for accuracy:country=DE, at the present rates."
    settled = {**parts, "country=DE": judged(3_000, 150, 150)}
    assert decided(judged(4_000, 420, 200), ACCURACY, **settled).verdict == "PROMOTE"


def test_where_segments_have_to_be_proven_promote_waits_for_each_and_says_how_long() -> None:
    proving = replace(ACCURACY, prove_segments=True)
    parts = {"country=DE": judged(300, 10, 10), "country=FR": judged(3_700, 410, 190)}
    assert decided(judged(4_000, 420, 200), ACCURACY, **parts).verdict == "PROMOTE"
    decision = decided(judged(4_000, 420, 200), proving, **parts)
    assert decision.verdict == "KEEP_WATCHING"
    more = decision.needed.labels
    assert more
    grown = {"country=DE": judged(300 + math.ceil(more * 300 / 4_000) + 1, 10, 10), "country=FR": parts["country=FR"]}
    assert decided(judged(4_000 + more, 420, 200), proving, **grown).verdict == "PROMOTE"


def test_a_gap_in_the_books_stands_in_the_way_of_promote_and_is_named() -> None:
    decision = decide(Evidence("trial", good(5_000), {}, books_gap=7, books_note="7 requests are missing."), ALL)
    assert decision.verdict == "KEEP_WATCHING"
    assert criterion(decision, "books") == Criterion("books", 7, 7, 7, 0, "open", "7 requests are missing.", 5_000)
    assert "books" in decision.needed.note


def test_a_gap_in_the_books_does_not_save_a_shadow_from_being_sent_back() -> None:
    evidence = Evidence("trial", asked(100, errors=100), {}, books_gap=-1)
    assert decide(evidence, ALL).verdict == "SEND_BACK"


@pytest.mark.parametrize(("least", "name"), [({"min_requests": 9_000}, "requests"), ({"min_labels": 9_000}, "labels")])
def test_too_few_requests_or_labels_keep_a_good_shadow_waiting(least: dict[str, int], name: str) -> None:
    decision = decided(good(4_000), replace(ALL, **least))  # type: ignore[arg-type]
    assert decision.verdict == "KEEP_WATCHING"
    assert [found.name for found in decision.criteria if found.state != "holds"] == [name]
    assert getattr(decision.needed, name) == 5_000


def test_without_any_criterion_there_is_no_verdict() -> None:
    decision = decided(good(5_000), GateSettings())
    assert decision.verdict == "KEEP_WATCHING"
    assert "No criterion is on" in decision.needed.note


def test_a_latency_limit_without_a_budget_is_no_criterion() -> None:
    decision = decided(good(5_000), GateSettings(max_over_budget=0.05))
    assert [found.name for found in decision.criteria] == ["requests"]


def test_agreement_is_judged_from_below() -> None:
    gate = GateSettings(min_requests=0, min_agreement=0.95)
    seen = Counts(comparisons=2_000, asked=2_000, compared=2_000, agreed=1_990)
    assert decided(seen, gate).verdict == "PROMOTE"
    assert decided(replace(seen, agreed=1_700), gate).verdict == "SEND_BACK"
    found = criterion(decided(replace(seen, agreed=1_900), gate), "agreement")
    assert found.state == "open"
    assert found.value == pytest.approx(0.95)
    assert found.low < 0.95 < found.high


# How alpha is split: PROMOTE not at all, SEND BACK over five criteria and, for the guard, over segments.


def test_the_ends_that_are_reported_are_the_ends_that_decide() -> None:
    segment = judged(900, 40, 50)
    decision = decided(good(2_000), ALL, one=segment, two=judged(10, 1, 1), silent=Counts())
    rate, accuracy = criterion(decision, "error_rate"), criterion(decision, "accuracy")
    assert (rate.low, rate.high) == (rate_low(0, 2_000, 0.05 / 5), rate_high(0, 2_000, 0.05))
    assert (accuracy.low, accuracy.high) == (
        paired_low(130, 50, 2_000, 0.05),
        paired_high(130, 50, 2_000, 0.05 / 5),
    )
    guard = criterion(decision, "accuracy:one")
    assert (guard.low, guard.high) == (paired_low(40, 50, 900, 0.05), paired_high(40, 50, 900, 0.05 / 5 / (2 * 3)))


def test_however_many_segments_appear_the_guard_spends_no_more_than_its_share() -> None:
    """Each segment tested as generously as it ever can be: at the number of segments when it appeared."""
    shares = []
    for many in range(1, 40):
        segments = {f"n={index}": judged(100, 0, 9) for index in range(many)}
        found = criterion(decided(good(2_000), ACCURACY, **segments), f"accuracy:n={many - 1}")
        shares.append(1 / (many * (many + 1)))
        assert found.high == paired_high(0, 9, 100, 0.05 / 2 * shares[-1])
    assert sum(shares) <= 1.0


# What is needed.


def test_needed_requests_are_those_after_which_it_promotes() -> None:
    seen = asked(2_000, errors=2)
    gate = GateSettings(min_requests=0, max_error_rate=0.01)
    early = decided(asked(300, errors=0), gate)
    assert early.verdict == "KEEP_WATCHING"
    assert early.needed.requests is not None
    assert decided(asked(300 + early.needed.requests), gate).verdict == "PROMOTE"
    assert decided(asked(300 + early.needed.requests - 1), gate).verdict == "KEEP_WATCHING"
    assert decided(seen, gate).verdict == "PROMOTE"


def test_needed_counts_requests_when_only_some_rows_are_timed() -> None:
    gate = GateSettings(min_requests=0, latency_budget_ms=50.0, max_over_budget=0.01)
    seen = replace(asked(1_000), latency_rows=50)
    needed = decided(seen, gate).needed.requests
    assert needed is not None
    later = replace(asked(1_000 + needed), latency_rows=(1_000 + needed) // 20)
    assert decided(later, gate).verdict == "PROMOTE"
    assert needed > 20 * 250


def test_needed_labels_follow_the_size_of_a_segment_that_is_about_to_fail() -> None:
    parts = {"country=DE": judged(100, 5, 14)}
    decision = decided(judged(1_000, 55, 54), ACCURACY, **parts)
    assert decision.verdict == "KEEP_WATCHING"
    assert "SEND BACK for accuracy:country=DE" in decision.needed.note
    assert decision.needed.labels is not None
    assert decision.needed.labels % 10 == 0
    times = 1 + decision.needed.labels // 1_000 + 1
    later = decided(
        judged(1_000 * times, 55 * times, 54 * times),
        ACCURACY,
        **{"country=DE": judged(100 * times, 5 * times, 14 * times)},
    )
    assert criterion(later, "accuracy:country=DE").state == "fails"


def test_needed_is_none_right_at_the_limit_and_says_of_what() -> None:
    decision = decided(asked(1_000, errors=10), GateSettings(max_error_rate=0.01))
    assert decision.verdict == "KEEP_WATCHING"
    assert decision.needed.requests is None
    assert "error_rate" in decision.needed.note


# Laws, for any counts.


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    def part(whole: int) -> int:
        return draw(st.integers(0, whole))

    comparisons = draw(st.integers(0, 20_000))
    asked_ = part(comparisons)
    errors = part(asked_)
    compared = asked_ - errors
    rows, labels = part(compared), part(compared)
    ours = part(labels)
    theirs = part(labels - ours)
    both = part(labels - ours - theirs)
    return Counts(
        comparisons=comparisons, asked=asked_, shadow_errors=errors, compared=compared, agreed=part(compared),
        latency_rows=rows, over_budget=part(rows), labels=labels, both_right=both, shadow_only=ours,
        live_only=theirs, both_wrong=labels - ours - theirs - both,
    )  # fmt: skip


@st.composite
def promising(draw: st.DrawFn) -> Counts:
    """Mostly right: near the limits of `ALL`, where verdicts are made."""
    requests = draw(st.integers(500, 20_000))
    errors = draw(st.integers(0, requests // 150))
    compared = requests - errors
    rows = compared // draw(st.integers(1, 20))
    ours, theirs = draw(st.integers(0, compared // 12)), draw(st.integers(0, compared // 15))
    both = draw(st.integers(0, compared - ours - theirs))
    return Counts(
        comparisons=requests, asked=requests, shadow_errors=errors, compared=compared,
        agreed=compared - draw(st.integers(0, compared // 6)), latency_rows=rows,
        over_budget=draw(st.integers(0, rows // 30)), labels=compared, both_right=both, shadow_only=ours,
        live_only=theirs, both_wrong=compared - ours - theirs - both,
    )  # fmt: skip


def times(k: int, seen: Counts) -> Counts:
    return Counts(*(k * getattr(seen, name) for name in Counts.__dataclass_fields__ if not name.startswith("loss")))


limits = st.one_of(st.none(), st.floats(0, 1))
gates = st.builds(
    GateSettings,
    alpha=st.floats(0.001, 0.5),
    min_requests=st.integers(0, 5_000),
    max_error_rate=limits,
    latency_budget_ms=st.just(50.0),
    max_over_budget=limits,
    min_agreement=limits,
    accuracy_margin=limits,
    guard_segments=st.booleans(),
    min_labels=st.integers(0, 500),
)


@settings(max_examples=60)
@given(counts(), st.dictionaries(st.text(max_size=8), counts(), max_size=3), gates, st.integers(-3, 3))
def test_any_consistent_counts_get_a_decision_whose_parts_explain_it(
    seen: Counts, segments: dict[str, Counts], gate: GateSettings, gap: int
) -> None:
    decision = decide(Evidence("trial", seen, segments, books_gap=gap), gate)
    failed = [found for found in decision.criteria if found.state == "fails"]
    assert (decision.verdict == "SEND_BACK") == bool(failed)
    if decision.verdict == "PROMOTE":
        assert gap == 0
        assert all(found.state == "holds" for found in decision.criteria if ":" not in found.name)
    for found in decision.criteria:
        assert found.low <= found.high
        if found.value is not None:
            assert found.low - 1e-12 <= found.value <= found.high + 1e-12
    for number in (decision.needed.requests, decision.needed.labels):
        assert number is None or number >= 0


@settings(max_examples=100)
@given(promising(), promising(), st.integers(2, 50))
def test_more_of_the_same_never_turns_promote_into_send_back(seen: Counts, part: Counts, k: int) -> None:
    """A segment that looks worse than the margin is left out: with more of the same it rightly sends back."""
    assume((part.shadow_only - part.live_only) / part.labels >= -0.01)
    first = decided(seen, ALL, part=part)
    later = decided(times(k, seen), ALL, part=times(k, part))
    if first.verdict == "PROMOTE":
        assert later.verdict == "PROMOTE"
    if first.verdict == "SEND_BACK":
        assert later.verdict == "SEND_BACK"


def test_a_verdict_is_seldom_wrong_for_people_who_look_after_every_batch() -> None:
    """A shadow that fails just too often is promoted, ever, in at most alpha of the trials."""
    gate = GateSettings(min_requests=0, max_error_rate=0.01)
    runs, looks, batch = 2_000, 40, 50
    errors = np.random.default_rng(11).binomial(batch, 0.0101, (runs, looks)).cumsum(axis=1)
    promoted = np.zeros(runs, bool)
    for look in range(looks):
        for seen in np.unique(errors[:, look]):
            if decided(asked(batch * (look + 1), int(seen)), gate).verdict == "PROMOTE":
                promoted |= errors[:, look] == seen
    assert 0 < promoted.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
