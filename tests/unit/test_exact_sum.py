"""Sums and moments without rounding: what fractions give, however the numbers are cut, ordered and kept in between."""

import random
from fractions import Fraction

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.statistics.exact_sum import UNIT_BITS, Addends, as_float, from_pieces, pieces, sums
from shadowbus.statistics.moments import Moments

finite = st.floats(-1e300, 1e300)
weights = st.integers(1 << 20, 1 << 24).map(lambda n: n / (1 << 20))
values = st.floats(-1e100, 1e100)


def fraction(total: int) -> Fraction:
    return Fraction(total, 1 << UNIT_BITS)


@given(st.lists(st.tuples(finite, finite), max_size=40))
def test_a_sum_is_what_fractions_give(pairs: list[tuple[float, float]]) -> None:
    columns = np.array(pairs, float).reshape(-1, 2).T
    assert [fraction(total) for total in sums(columns)] == [
        sum(map(Fraction, column), Fraction(0)) for column in columns.tolist()
    ]


def test_many_numbers_are_added_exactly_and_so_are_some_of_them() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.standard_normal(600_000) * np.exp2(rng.integers(-40, 40, 600_000))
    addends, some = Addends.of(numbers[None, :]), rng.permutation(600_000)[:200_000]
    assert fraction(addends.sums()[0]) == sum(map(Fraction, numbers.tolist()), Fraction(0))
    assert fraction(addends.sums(some)[0]) == sum(map(Fraction, numbers[some].tolist()), Fraction(0))


@given(st.lists(finite, max_size=20))
def test_pieces_are_floats_that_add_up_to_it_the_first_of_them_the_sum_rounded(numbers: list[float]) -> None:
    (total,) = sums(np.array([numbers]))
    found = pieces(total)
    assert from_pieces(orjson.loads(orjson.dumps(found))) == total
    assert (found[0] if found else 0.0) == as_float(total) == float(sum(map(Fraction, numbers), Fraction(0)))


def test_what_is_too_large_for_a_float_is_not_kept_in_silence() -> None:
    with pytest.raises(OverflowError):
        pieces(10**9 * sums(np.array([[1e300]]))[0])


@given(st.lists(st.tuples(values, weights), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_moments_do_not_depend_on_order_batches_or_restarts(
    pairs: list[tuple[float, float]], rng: random.Random
) -> None:
    def of(part: list[tuple[float, float]]) -> Moments:
        return Moments.of(np.array([one for one, _ in part]), np.array([weight for _, weight in part]))

    whole, shuffled = of(pairs), rng.sample(pairs, len(pairs))
    merged, left = Moments(), shuffled
    while left:
        cut = rng.randint(1, len(left))
        merged, left = of(left[:cut]) + merged, left[cut:]
        merged = Moments.from_record(orjson.loads(orjson.dumps(merged.to_record())))
    assert merged == whole
    assert (merged.mean, merged.m2) == (whole.mean, whole.m2)
    taken = rng.sample(pairs, rng.randrange(len(pairs)))
    rest = list(pairs)
    for pair in taken:
        rest.remove(pair)
    assert whole - of(taken) == of(rest)


def test_totals_of_an_older_writer_have_no_sums_and_are_read_all_the_same() -> None:
    old = Moments.from_record({"n": 3, "mean": 3.0, "m2": 14.0})
    assert (old.n, old.mean, old.m2) == (3, 3.0, 14.0)
    assert Moments.from_record({"n": 0, "mean": 0.0, "m2": 0.0}) == Moments()
