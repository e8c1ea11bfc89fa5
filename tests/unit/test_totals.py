"""Totals add up: in any order and grouping, from nothing, from one, and through JSON."""

import math
import statistics
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.aggregate.probabilities import Probabilities
from shadowbus.statistics.calibration_histogram import CalibrationHistogram
from shadowbus.statistics.contingency_table import ContingencyTable
from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.statistics.quantiles import ANY, Quantiles
from shadowbus.totals.days import Days
from shadowbus.totals.detailed import AXES, DetailedTotals
from shadowbus.totals.totals import COUNTERS, INDEX, Totals
from shadowbus.totals.weights import Weights

numbers = st.floats(-1e6, 1e6, width=32)
durations = st.floats(0, 1e6, width=32)
times = st.integers(0, 2**45)


@st.composite
def corrected(draw: st.DrawFn) -> CorrectedMoments:
    """Some values, of which the first few are taken back."""
    values = np.array(draw(st.lists(numbers, max_size=5)))
    return CorrectedMoments(Moments.of(values), Moments.of(values[: draw(st.integers(0, 2))]))


@st.composite
def tables(draw: st.DrawFn, axes: int) -> ContingencyTable:
    names = st.tuples(*[st.sampled_from(["a", "b", "(other)"])] * axes)
    counts = st.integers(-(2**40), 2**40).filter(bool)
    excess = st.integers(-(2**40), 2**40).filter(bool).map(lambda units: units / 2**20)
    return ContingencyTable(
        draw(st.dictionaries(names, counts, max_size=4)), draw(st.dictionaries(names, excess, max_size=2))
    )


@st.composite
def scores(draw: st.DrawFn) -> CalibrationHistogram:
    chances = draw(st.lists(st.floats(0, 1), min_size=0, max_size=5))
    some = Probabilities.of([[1 - p, p] for p in chances], ["1"] * len(chances), ["0"] * len(chances))
    signs = np.array(draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=len(chances), max_size=len(chances))))
    weights = draw(st.none() | st.just(np.full(len(chances), 1.5)))
    return CalibrationHistogram.of(some.score, some.event, some.came, signs, weights)


@st.composite
def details(draw: st.DrawFn) -> DetailedTotals:
    made: dict[str, Any] = {name: draw(tables(axes)) for name, axes in AXES.items()}
    return DetailedTotals(
        **made,
        live_answers=Quantiles.of(np.array(draw(st.lists(numbers, max_size=5))), within=ANY),
        latency_gaps=Quantiles.of(np.array(draw(st.lists(numbers, max_size=5))), within=ANY),
        live_loss=draw(corrected()),
        brier=draw(corrected()),
        live_scores=draw(scores()),
        shadow_scores=draw(scores()),
    )


@st.composite
def totals(draw: st.DrawFn) -> Totals:
    first = draw(st.none() | times)
    excess = draw(st.none() | st.lists(st.integers(0, 2**40), min_size=len(COUNTERS), max_size=len(COUNTERS)))
    return Totals(
        np.array(draw(st.lists(st.integers(0, 2**55), min_size=len(COUNTERS), max_size=len(COUNTERS))), np.int64),
        Quantiles.of(np.array(draw(st.lists(durations, max_size=5)))),
        Quantiles.of(np.array(draw(st.lists(durations, max_size=5)))),
        draw(corrected()),
        draw(corrected()),
        draw(corrected()),
        draw(corrected()),
        first,
        None if first is None else first + draw(times),
        Weights() if excess is None else Weights(np.array(excess, float), draw(st.sampled_from([2.0, 4.0, 100.0]))),
        draw(st.none() | details()),
        draw(st.integers(0, 9)),
        Days.of(np.array(draw(st.lists(times, max_size=5)), np.int64)),
    )


def same(left: Totals, right: Totals) -> bool:
    """Counts, sketch contents (all exact at this size) and times the same; moments but for the last bits."""
    return (
        left.counts.tolist() == right.counts.tolist()
        and contents(left.live_latency) == contents(right.live_latency)
        and contents(left.shadow_latency) == contents(right.shadow_latency)
        and close(left.distance, right.distance)
        and close(left.latency_difference, right.latency_difference)
        and close(left.loss, right.loss)
        and close(left.value, right.value)
        and same_details(left.detailed, right.detailed)
        and (left.first_ms, left.last_ms) == (right.first_ms, right.last_ms)
        and left.days == right.days
        and left.scaled() == pytest.approx(right.scaled())
        and left.weights.heaviest == right.weights.heaviest
    )


def same_details(left: DetailedTotals, right: DetailedTotals) -> bool:
    """Tables and histograms exactly the same."""
    exact = (*AXES, "live_scores", "shadow_scores")
    return (
        all(getattr(left, name) == getattr(right, name) for name in exact)
        and contents(left.live_answers) == contents(right.live_answers)
        and contents(left.latency_gaps) == contents(right.latency_gaps)
        and close(left.live_loss, right.live_loss)
        and close(left.brier, right.brier)
    )


def contents(quantiles: Quantiles) -> list[float | None]:
    return [quantiles.at((i + 0.5) / quantiles.n) for i in range(quantiles.n)]


def close(one: CorrectedMoments, other: CorrectedMoments) -> bool:
    return near(one.given, other.given) and near(one.taken, other.taken)


def near(left: Moments, right: Moments) -> bool:
    return (
        left.n == right.n
        and math.isclose(left.mean, right.mean, rel_tol=1e-9, abs_tol=1e-6)
        and math.isclose(left.m2, right.m2, rel_tol=1e-6, abs_tol=1e-3)
    )


@given(totals(), totals(), totals())
def test_grouping_does_not_matter(a: Totals, b: Totals, c: Totals) -> None:
    assert same((a + b) + c, a + (b + c))


@given(totals(), totals())
def test_order_does_not_matter(a: Totals, b: Totals) -> None:
    assert same(a + b, b + a)


@given(totals())
def test_nothing_added_changes_nothing(a: Totals) -> None:
    assert a + Totals() == a
    assert Totals() + a == a


@given(totals(), totals())
def test_adding_leaves_both_as_they_were(a: Totals, b: Totals) -> None:
    before = orjson.dumps([a.to_record(), b.to_record()])
    assert (a + b).count("agreed") == a.count("agreed") + b.count("agreed")
    assert orjson.dumps([a.to_record(), b.to_record()]) == before


@given(totals())
def test_a_record_brings_them_back_exactly(a: Totals) -> None:
    assert Totals.from_record(orjson.loads(orjson.dumps(a.to_record()))) == a


@given(st.lists(numbers, max_size=30), st.integers(0, 30))
def test_moments_in_parts_are_those_of_the_whole(values: list[float], cut: int) -> None:
    merged = Moments.of(np.array(values[:cut])) + Moments.of(np.array(values[cut:]))
    assert merged.n == len(values)
    if values:
        assert merged.weight == len(values)
        assert merged.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
        assert merged.m2 == pytest.approx(statistics.pvariance(values) * len(values), rel=1e-6, abs=1e-2)


@given(st.lists(st.tuples(numbers, st.sampled_from([1, 2, 8])), max_size=30), st.integers(0, 30))
def test_a_weight_counts_a_value_as_often_as_it_says(pairs: list[tuple[float, int]], cut: int) -> None:
    def of(part: list[tuple[float, int]]) -> Moments:
        return Moments.of(np.array([value for value, _ in part]), np.array([weight for _, weight in part], float))

    merged, repeated = of(pairs[:cut]) + of(pairs[cut:]), [value for value, weight in pairs for _ in range(weight)]
    assert (merged.n, merged.weight) == (len(pairs), len(repeated))
    if repeated:
        assert merged.mean == pytest.approx(statistics.fmean(repeated), rel=1e-9, abs=1e-6)
        assert merged.m2 == pytest.approx(statistics.pvariance(repeated) * len(repeated), rel=1e-6, abs=1e-2)
    assert Moments.from_record(orjson.loads(orjson.dumps(merged.to_record()))) == merged


@given(st.lists(durations, max_size=60), st.integers(0, 60))
def test_few_values_are_kept_as_they_are_in_one_part_or_two(values: list[float], cut: int) -> None:
    merged = Quantiles.of(np.array(values[:cut])) + Quantiles.of(np.array(values[cut:]))
    assert contents(merged) == sorted(values)


def test_many_values_in_many_parts_give_quantiles_within_the_error_of_the_sketch() -> None:
    values = np.random.default_rng(7).lognormal(1.0, 1.0, 200_000)
    merged = Quantiles()
    for part in np.array_split(values, 97):
        merged.absorb(Quantiles.of(part))
    assert merged.n == values.size
    assert merged.smallest == np.float32(values.min())
    assert merged.largest == np.float32(values.max())
    for rank in (0.01, 0.25, 0.5, 0.95, 0.99):
        value = merged.at(rank)
        assert value is not None
        assert abs((values <= value).mean() - rank) < 0.02


def test_nothing_seen_has_no_quantiles_and_takes_no_bytes() -> None:
    assert Quantiles().at(0.5) is None
    assert Quantiles().to_record() == ""
    assert Quantiles.from_record("") == Quantiles()


def test_counts_beyond_what_a_float_holds_stay_exact() -> None:
    a = Totals()
    a.counts[INDEX["compared"]] = 2**53
    one = Totals()
    one.counts[INDEX["compared"]] = 1
    record = orjson.loads(orjson.dumps((a + one).to_record()))
    assert Totals.from_record(record).statuses == {"compared": 2**53 + 1}


def test_a_counter_that_an_older_writer_did_not_know_is_zero() -> None:
    record = Totals().to_record()
    del record["missing_features"]
    assert Totals.from_record(record) == Totals()
