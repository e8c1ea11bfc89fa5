"""Confidence sequences: against numerical integration, exact expectations, and simulated people who peek."""

import doctest
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from shadowbus.verdict import interval, sequential
from shadowbus.verdict.interval import Interval
from shadowbus.verdict.sequential import (
    mean_interval,
    needed,
    paired_difference_interval,
    paired_evidence_above,
    paired_high,
    paired_low,
    rate_evidence_above,
    rate_evidence_below,
    rate_high,
    rate_interval,
    rate_low,
)

ALPHA = 0.05
RUNS = 2_000
MOST_MISSES = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


@pytest.mark.parametrize("module", [interval, sequential])
def test_the_examples_in_the_docstrings_are_right(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


# The wealth is what the papers say it is.


def likelihood_ratio(successes: int, trials: int, rate: float, limit: float) -> float:
    return float(np.exp(stats.binom.logpmf(successes, trials, rate) - stats.binom.logpmf(successes, trials, limit)))


@pytest.mark.parametrize(
    ("successes", "trials", "limit"), [(0, 3_500, 0.001), (3, 8_000, 0.001), (40, 1_000, 0.05), (0, 5, 0.5)]
)
def test_evidence_below_is_the_likelihood_ratio_averaged_over_smaller_rates(
    successes: int, trials: int, limit: float
) -> None:
    # Of a rate that is Beta(1/4, 1) below the limit, the fourth root is uniform.
    average, _ = integrate.quad(
        lambda root: likelihood_ratio(successes, trials, limit * root**4, limit), 0, 1, epsrel=1e-9
    )
    assert math.exp(rate_evidence_below(successes, trials, limit)) == pytest.approx(average, rel=1e-7)


@pytest.mark.parametrize(
    ("successes", "trials", "limit"), [(10, 200, 0.01), (100, 10_000, 0.0068), (3, 3, 0.01), (5, 100, 0.02)]
)
def test_evidence_above_is_the_likelihood_ratio_averaged_over_larger_rates(
    successes: int, trials: int, limit: float
) -> None:
    least = limit**0.25
    average, _ = integrate.quad(
        lambda root: likelihood_ratio(successes, trials, root**4, limit), least, 1, epsrel=1e-9, limit=200
    )
    assert math.exp(rate_evidence_above(successes, trials, limit)) == pytest.approx(average / (1 - least), rel=1e-7)


@pytest.mark.parametrize("evidence", [rate_evidence_below, rate_evidence_above])
@pytest.mark.parametrize("limit", [0.001, 0.3, 0.97])
def test_nobody_wins_on_average_by_betting_against_the_true_rate(
    evidence: Callable[[float, float, float], float], limit: float
) -> None:
    seen = range(31)
    wealth = [math.exp(evidence(successes, 30, limit)) for successes in seen]
    assert float(np.dot(stats.binom.pmf(seen, 30, limit), wealth)) == pytest.approx(1.0)


def test_nor_against_any_rate_beyond_the_limit() -> None:
    seen = range(31)
    below = [math.exp(rate_evidence_below(successes, 30, 0.2)) for successes in seen]
    above = [math.exp(rate_evidence_above(successes, 30, 0.2)) for successes in seen]
    for further in (0.01, 0.05, 0.1):
        assert float(np.dot(stats.binom.pmf(seen, 30, 0.2 + further), below)) < 1.0
        assert float(np.dot(stats.binom.pmf(seen, 30, 0.2 - further), above)) < 1.0


@pytest.mark.parametrize(("better", "worse"), [(0.1, 0.1), (0.3, 0.05), (0.0, 0.02), (0.5, 0.5)])
def test_nobody_wins_on_average_by_betting_against_the_true_difference(better: float, worse: float) -> None:
    expected = 0.0
    for wins, losses in itertools.product(range(11), repeat=2):
        if wins + losses <= 10:
            share = stats.multinomial.pmf([wins, losses, 10 - wins - losses], 10, [better, worse, 1 - better - worse])
            expected += float(share) * math.exp(paired_evidence_above(wins, losses, 10, better - worse))
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wins", "losses", "trials", "limit"), [(60, 40, 1_000, -0.01), (30, 2, 100, 0.1), (0, 9, 9, 0)]
)
def test_paired_evidence_is_the_average_of_bets_made_one_label_at_a_time(
    wins: int, losses: int, trials: int, limit: float
) -> None:
    order = np.random.default_rng(1).permutation([1] * wins + [-1] * losses + [0] * (trials - wins - losses))
    stakes, total = sequential.STAKES, np.sqrt(sequential.STAKES)
    total /= total.sum()
    for value in order:
        total = total * (1 + stakes / (1 + limit) * (value - limit))
    assert math.exp(paired_evidence_above(wins, losses, trials, limit)) == pytest.approx(float(total.sum()))


def test_the_asymptotic_interval_ends_where_a_normal_mixture_has_won_enough() -> None:
    n, optimal = 700, 2_000.0
    half = mean_interval(n, 0.0, float(n), ALPHA, optimal).high
    variance = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / optimal

    def bet(stake: float) -> float:
        won = math.exp(stake * n * half - stake * stake * n / 2)
        return won * math.exp(-stake * stake / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    assert integrate.quad(bet, -1, 1)[0] == pytest.approx(1 / ALPHA)


# The truth stays inside, whoever looks whenever.


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.9])
def test_a_rate_is_seldom_missed_by_people_who_look_after_every_batch(rate: float) -> None:
    looks, batch = 40, 50
    seen = np.random.default_rng(7).binomial(batch, rate, (RUNS, looks)).cumsum(axis=1)
    missed = np.zeros(RUNS, bool)
    for look in range(looks):
        trials = batch * (look + 1)
        for successes in np.unique(seen[:, look]):
            if rate not in rate_interval(int(successes), trials, ALPHA):
                missed |= seen[:, look] == successes
    assert missed.mean() <= MOST_MISSES


def test_the_usual_interval_would_be_missed_far_more_often_by_the_same_people() -> None:
    looks, batch, rate = 40, 50, 0.05
    seen = np.random.default_rng(7).binomial(batch, rate, (RUNS, looks)).cumsum(axis=1)
    trials = batch * np.arange(1, looks + 1)
    low = stats.beta.ppf(ALPHA / 2, seen, trials - seen + 1)  # Clopper & Pearson (1934)
    high = stats.beta.ppf(1 - ALPHA / 2, seen + 1, trials - seen)
    missed = np.logical_or(rate < low, rate > high).any(axis=1)
    assert missed.mean() > 2 * MOST_MISSES


@pytest.mark.parametrize(("better", "worse"), [(0.06, 0.06), (0.01, 0.03), (0.0, 0.004)])
def test_a_difference_is_seldom_missed_by_people_who_look_after_every_batch(better: float, worse: float) -> None:
    looks, batch, enough = 20, 150, -math.log(ALPHA / 2)
    shares = [better, worse, 1 - better - worse]
    seen = np.random.default_rng(8).multinomial(batch, shares, (RUNS, looks)).cumsum(axis=1)
    missed = 0
    for run in seen:
        for look, (wins, losses, _) in enumerate(run.tolist(), 1):
            trials, truth = batch * look, better - worse
            over = paired_evidence_above(wins, losses, trials, truth)
            if max(over, paired_evidence_above(losses, wins, trials, -truth)) >= enough:
                missed += 1
                break
    assert missed / RUNS <= MOST_MISSES


def test_a_mean_loss_difference_is_seldom_missed_by_people_who_look_after_every_batch() -> None:
    values = np.random.default_rng(9).laplace(0.3, 1.0, (RUNS, 3_000))
    missed = np.zeros(RUNS, bool)
    for n in range(100, 3_001, 100):
        mean = values[:, :n].mean(axis=1)
        m2 = ((values[:, :n] - mean[:, None]) ** 2).sum(axis=1)
        for run in np.flatnonzero(~missed):
            missed[run] = 0.3 not in mean_interval(n, float(mean[run]), float(m2[run]), ALPHA)
    assert missed.mean() <= MOST_MISSES


# The ends are where the wealth says, and behave.


@settings(deadline=None)
@given(trials=st.integers(0, 10**8), share=st.floats(0, 1), alpha=st.floats(1e-6, 0.5))
def test_a_rate_interval_holds_what_was_seen_and_stays_between_0_and_1(trials: int, share: float, alpha: float) -> None:
    successes = round(trials * share)
    found = rate_interval(successes, trials, alpha)
    assert 0.0 <= found.low <= found.high <= 1.0
    if trials:
        assert successes / trials in found
    assert found.low == 0.0 or rate_evidence_above(successes, trials, found.low) >= -math.log(alpha / 2)
    assert found.high == 1.0 or rate_evidence_below(successes, trials, found.high) >= -math.log(alpha / 2)


@settings(deadline=None)
@given(trials=st.integers(0, 10**8), apart=st.floats(0, 1), ours=st.floats(0, 1), alpha=st.floats(1e-6, 0.5))
def test_a_difference_interval_holds_what_was_seen_and_mirrors_when_the_models_are_swapped(
    trials: int, apart: float, ours: float, alpha: float
) -> None:
    discordant = round(trials * apart)
    wins = round(discordant * ours)
    losses = discordant - wins
    found = paired_difference_interval(wins, losses, trials, alpha)
    assert -1.0 <= found.low <= found.high <= 1.0
    if trials:
        assert (wins - losses) / trials in found
    swapped = paired_difference_interval(losses, wins, trials, alpha)
    assert swapped == Interval(-found.high, -found.low)


def test_every_limit_outside_is_excluded_and_every_limit_inside_is_not() -> None:
    """A brute-force grid in place of bisection."""
    low, high = paired_low(30, 50, 900, 0.05), paired_high(30, 50, 900, 0.05)
    for limit in np.linspace(-0.3, 0.3, 601):
        over = paired_evidence_above(30, 50, 900, float(limit)) >= math.log(20)
        under = paired_evidence_above(50, 30, 900, float(-limit)) >= math.log(20)
        assert over == (limit <= low)
        assert under == (limit >= high)
    least, most = rate_low(30, 900, 0.05), rate_high(30, 900, 0.05)
    for limit in np.linspace(0.0001, 0.9999, 5_000):
        assert (rate_evidence_above(30, 900, float(limit)) >= math.log(20)) == (limit <= least)
        assert (rate_evidence_below(30, 900, float(limit)) >= math.log(20)) == (limit >= most)


@pytest.mark.parametrize(("few", "wins", "losses"), [(0, 0, 0), (1, 2, 3), (50, 20, 10)])
def test_more_of_the_same_makes_every_interval_narrower(few: int, wins: int, losses: int) -> None:
    rates = [rate_interval(few * k, 100 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
    pairs = [paired_difference_interval(wins * k, losses * k, 100 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
    means = [mean_interval(100 * k, 0.2, 100.0 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
    for found in (rates, pairs, means):
        for wider, narrower in itertools.pairwise(found):
            assert wider.low <= narrower.low <= narrower.high <= wider.high
            assert narrower.high - narrower.low < wider.high - wider.low


def test_at_a_hundred_million_trials_the_width_is_a_few_standard_errors() -> None:
    n = 10**8
    rate = rate_interval(10**5, n, ALPHA)
    error = math.sqrt(0.001 * 0.999 / n)
    assert 2 * 1.96 * error < rate.high - rate.low < 2 * 6 * error
    pair = paired_difference_interval(2_100_000, 2_000_000, n, ALPHA)
    error = math.sqrt(0.041 / n)
    assert 2 * 1.96 * error < pair.high - pair.low < 2 * 6 * error


def test_with_nothing_seen_everything_is_possible() -> None:
    assert rate_interval(0, 0, ALPHA) == Interval(0.0, 1.0)
    assert paired_difference_interval(0, 0, 0, ALPHA) == Interval(-1.0, 1.0)
    assert mean_interval(0, 0.0, 0.0, ALPHA) == Interval(-math.inf, math.inf)


def test_one_observation_excludes_next_to_nothing() -> None:
    assert rate_interval(0, 1, ALPHA).low == 0.0
    assert rate_interval(0, 1, ALPHA).high > 0.95
    assert rate_interval(1, 1, ALPHA).high == 1.0
    assert paired_low(1, 0, 1, ALPHA) > -1.0
    assert paired_high(1, 0, 1, ALPHA) == 1.0
    assert mean_interval(1, 3.0, 0.0, ALPHA) == Interval(-math.inf, math.inf)


def test_the_mean_interval_waits_for_variation() -> None:
    assert mean_interval(5_000, 0.0, 0.0, ALPHA) == Interval(-math.inf, math.inf)
    assert mean_interval(99, 0.0, 99.0, ALPHA) == Interval(-math.inf, math.inf)
    assert mean_interval(100, 0.0, 100.0, ALPHA).high < 1.0


def test_only_successes_leave_no_room_above_and_only_failures_none_below() -> None:
    assert rate_interval(500, 500, ALPHA).high == 1.0
    assert rate_interval(0, 500, ALPHA).low == 0.0
    assert rate_interval(500, 500, ALPHA).low > 0.95


def test_without_a_discordant_pair_the_difference_still_closes_in_on_zero() -> None:
    found = paired_difference_interval(0, 0, 1_000, ALPHA)
    assert found.low == -found.high
    assert 0.0 < found.high < 0.01


def test_needed_is_the_smallest_number_that_decides() -> None:
    def decided(trials: float) -> bool:
        return rate_evidence_below(0.0004 * trials, trials, 0.001) >= math.log(20)

    more = needed(1_000, decided)
    assert more is not None
    assert decided(1_000 + more)
    assert not decided(1_000 + more - 1)


def test_needed_is_none_at_the_limit_itself_and_zero_when_decided() -> None:
    assert needed(1_000, lambda n: rate_evidence_below(0.001 * n, n, 0.001) >= math.log(20)) is None
    assert needed(9_000, lambda n: rate_evidence_below(0, n, 0.001) >= math.log(20)) == 0
    assert needed(0, lambda n: rate_evidence_below(0, n, 0.001) >= math.log(20)) == 3_402


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_an_alpha_that_promises_nothing_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha between 0 and 1"):
        rate_high(1, 2, alpha)


def test_counts_that_contradict_each_other_are_refused() -> None:
    for call in (
        lambda: rate_high(3, 2, ALPHA),
        lambda: rate_low(-1, 2, ALPHA),
        lambda: paired_low(2, 2, 3, ALPHA),
        lambda: paired_high(-1, 1, 3, ALPHA),
        lambda: mean_interval(-1, 0.0, 0.0, ALPHA),
    ):
        with pytest.raises(ValueError, match="must not be negative"):
            call()
