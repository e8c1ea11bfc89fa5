"""Confidence sequences: against a published implementation, exact expectations, and simulated people who peek."""

import doctest
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shadowbus.verdict import interval
from shadowbus.verdict.interval import Interval
from shadowbus.verdict.sequential import (
    bounded_evidence_above,
    bounded_high,
    bounded_low,
    mean_evidence_above,
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
from shadowbus.verdict.sequential import horizon as horizon_module
from shadowbus.verdict.sequential import mean as mean_module
from shadowbus.verdict.sequential import mixture as mixture_module
from shadowbus.verdict.sequential import paired as paired_module
from shadowbus.verdict.sequential import rate as rate_module
from shadowbus.verdict.sequential.mean import mean_wealth
from shadowbus.verdict.sequential.mixture import Mixture, mixture
from shadowbus.verdict.sequential.paired import paired_wealth, stakes
from shadowbus.verdict.sequential.rate import ABOVE, BELOW, rate_wealth

ALPHA = 0.05
RUNS = 2_000
MOST_MISSES = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


@pytest.mark.parametrize("module", [interval, mean_module, mixture_module, horizon_module, paired_module, rate_module])
def test_the_examples_in_the_docstrings_are_right(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


# The wealth is what the papers say it is.


def one(stake: float) -> Mixture:
    return mixture(([stake], [1], 1.0))


@pytest.mark.parametrize(
    ("wins", "losses", "trials", "limit", "stake", "expected"),
    [
        (60, 40, 1_000, -0.01, 0.2, 4.031579957844655),
        (30, 2, 100, 0.1, 0.5, 5.738687109512304),
        (0, 9, 9, 0.0, 0.3, -3.210074495448592),
        (5, 0, 400, -0.02, 0.9, 10.494295373030592),
    ],
)
def test_a_bet_on_a_difference_is_worth_what_a_published_implementation_says(
    wins: int, losses: int, trials: int, limit: float, stake: float, expected: float
) -> None:
    """`betting_mart` of confseq 0.0.11 by Waudby-Smith & Ramdas, over labels in some order, as computed with it."""
    ours, theirs, labels = (np.asarray(count, float) for count in (wins, losses, trials))
    assert float(paired_wealth(ours, theirs, labels, limit, one(stake))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("successes", "trials", "limit", "ratio", "expected"),
    [
        (10, 200, 0.01, 3.0, 7.108437276751742),
        (3, 8_000, 0.001, 0.5, 1.922059667654697),
        (100, 10_000, 0.0068, 1.4, 6.497666398524405),
    ],
)
def test_a_bet_on_a_rate_is_worth_what_a_published_implementation_says(
    successes: int, trials: int, limit: float, ratio: float, expected: float
) -> None:
    """As above, with the stake that makes a success worth `ratio`."""
    counts = np.asarray(successes, float), np.asarray(trials, float)
    assert float(rate_wealth(*counts, limit, one(ratio))) == pytest.approx(expected)


@pytest.mark.parametrize("alternatives", [BELOW, ABOVE])
@pytest.mark.parametrize(
    ("successes", "trials", "limit"), [(0, 3_500, 0.001), (3, 8_000, 0.001), (40, 1_000, 0.05), (10, 200, 0.9)]
)
def test_evidence_on_a_rate_is_the_likelihood_ratio_averaged_over_the_alternatives(
    alternatives: Mixture, successes: int, trials: int, limit: float
) -> None:
    average = 0.0
    for ratio, log_share in zip(alternatives.points, alternatives.log_shares, strict=True):
        if ratio * limit < 1:
            log_ratio = stats.binom.logpmf(successes, trials, ratio * limit) - stats.binom.logpmf(
                successes, trials, limit
            )
            average += float(np.exp(log_share + log_ratio))
    evidence = rate_evidence_below if alternatives is BELOW else rate_evidence_above
    assert math.exp(evidence(successes, trials, limit)) == pytest.approx(average, rel=1e-7)


@pytest.mark.parametrize("alternatives", [BELOW, ABOVE, stakes(0.001), stakes(0.01), stakes(0.5)])
def test_the_shares_of_a_mixture_sum_to_one(alternatives: Mixture) -> None:
    assert float(np.exp(alternatives.log_shares).sum()) == pytest.approx(1.0)


def test_parts_of_a_mixture_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        mixture(([0.1], [1], 0.5), ([0.2], [1], 0.6))


@pytest.mark.parametrize("evidence", [rate_evidence_below, rate_evidence_above])
@pytest.mark.parametrize("limit", [0.001, 0.3, 0.97])
def test_nobody_wins_on_average_by_betting_against_the_true_rate(
    evidence: Callable[[float, float, float], float], limit: float
) -> None:
    seen = range(31)
    wealth = [math.exp(evidence(successes, 30, limit)) for successes in seen]
    possible = ABOVE.log_shares[ABOVE.points * limit < 1]
    expected = 1.0 if evidence is rate_evidence_below else float(np.exp(possible).sum())
    assert float(np.dot(stats.binom.pmf(seen, 30, limit), wealth)) == pytest.approx(expected)
    assert expected <= 1.0 + 1e-9


def test_nor_against_any_rate_beyond_the_limit() -> None:
    seen = range(31)
    below = [math.exp(rate_evidence_below(successes, 30, 0.2)) for successes in seen]
    above = [math.exp(rate_evidence_above(successes, 30, 0.2)) for successes in seen]
    for further in (0.01, 0.05, 0.1):
        assert float(np.dot(stats.binom.pmf(seen, 30, 0.2 + further), below)) < 1.0
        assert float(np.dot(stats.binom.pmf(seen, 30, 0.2 - further), above)) < 1.0


@pytest.mark.parametrize(("better", "worse"), [(0.1, 0.1), (0.3, 0.05), (0.0, 0.02), (0.5, 0.5)])
def test_nobody_wins_on_average_by_betting_against_the_true_difference(better: float, worse: float) -> None:
    """Exact, over every count there can be; empty cells are among them."""
    expected = bounded = 0.0
    for wins, losses in itertools.product(range(11), repeat=2):
        if wins + losses <= 10:
            share = stats.multinomial.pmf([wins, losses, 10 - wins - losses], 10, [better, worse, 1 - better - worse])
            expected += float(share) * math.exp(paired_evidence_above(wins, losses, 10, better - worse))
            mean, squares = (wins - losses) / 10, wins + losses
            evidence = bounded_evidence_above(10, mean, squares - 10 * mean**2, better - worse, 1.0, 0.01)
            bounded += float(share) * math.exp(evidence)
    assert expected == pytest.approx(1.0)
    assert bounded < 1.0


@pytest.mark.parametrize(
    ("wins", "losses", "trials", "limit"), [(60, 40, 1_000, -0.01), (30, 2, 100, 0.1), (0, 9, 9, 0)]
)
def test_paired_evidence_is_the_average_of_bets_made_one_label_at_a_time(
    wins: int, losses: int, trials: int, limit: float
) -> None:
    order = np.random.default_rng(1).permutation([1] * wins + [-1] * losses + [0] * (trials - wins - losses))
    total = np.exp(stakes(0.02).log_shares)
    for value in order:
        total = total * (1 + stakes(0.02).points / (1 + limit) * (value - limit))
    found = paired_evidence_above(wins, losses, trials, limit, 0.02)
    assert math.exp(found) == pytest.approx(float(total.sum()))


def test_no_order_of_the_past_and_no_memory_makes_a_losing_bet_win() -> None:
    """The chance of a win depends on what came last, and no label has a mean above the limit: an exact expectation."""
    limit, shares = -0.1, {1: (0.1, 0.2), 0: (0.3, 0.4), -1: (0.0, 0.5)}
    paths = {(0, 0, 0): 1.0}  # wins, losses, the last label
    for _ in range(12):
        onward: dict[tuple[int, int, int], float] = {}
        for (wins, losses, last), chance in paths.items():
            up, down = shares[last]
            for value, share in ((1, up), (-1, down), (0, 1 - up - down)):
                state = wins + (value == 1), losses + (value == -1), value
                onward[state] = onward.get(state, 0.0) + chance * share
        paths = onward
    expected = sum(
        chance * math.exp(paired_evidence_above(wins, losses, 12, limit)) for (wins, losses, _), chance in paths.items()
    )
    assert expected <= 1.0 + 1e-12


def test_the_evidence_on_an_unbounded_mean_is_an_average_of_normal_likelihood_ratios() -> None:
    """Known variance 4, so a stake `t` a standard deviation is the ratio of N(limit + 2 t, 4) to N(limit, 4)."""
    values = np.random.default_rng(2).normal(0.5, 2.0, 400)
    values = (values - values.mean()) / values.std() * 2.0 + 0.5
    most = 3 / math.sqrt(300)
    points = np.minimum(np.concatenate([np.geomspace(0.3, 6.0, 15) * 0.05, np.geomspace(1e-4, most, 30)]), most)
    shares = np.concatenate([np.full(15, 0.8 / 15), 0.2 * np.sqrt(points[15:]) / np.sqrt(points[15:]).sum()])
    average = sum(
        share * np.exp(stats.norm.logpdf(values, 0.2 + 2 * t, 2.0).sum() - stats.norm.logpdf(values, 0.2, 2.0).sum())
        for t, share in zip(points, shares, strict=True)
    )
    found = mean_evidence_above(400, 0.5, float(values.var() * 400), 0.2, effect=0.1)
    assert math.exp(found) == pytest.approx(average)


@given(st.floats(0.0, 0.98), st.floats(-1.0, 5.0))
def test_the_price_of_a_bounded_bet_is_never_too_low(stake: float, value: float) -> None:
    """The inequality that `bounded_evidence_above` rests on."""
    price = -math.log1p(-stake) - stake
    assert math.exp(stake * value - price * value**2) <= (1 + stake * value) * (1 + 1e-9)


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
    n = np.arange(300, 3_001, 100)
    sums, squares = values.cumsum(axis=1)[:, n - 1], (values**2).cumsum(axis=1)[:, n - 1]
    mean, enough = sums / n, -math.log(ALPHA / 2)
    m2, looks = squares - n * mean**2, np.broadcast_to(n, mean.shape).astype(float)
    over = mean_wealth(looks, mean, m2, 0.3) >= enough
    under = mean_wealth(looks, -mean, m2, -0.3) >= enough
    assert (over | under).any(axis=1).mean() <= MOST_MISSES


# The ends are where the wealth says, and behave.


@given(trials=st.integers(0, 10**8), share=st.floats(0, 1), alpha=st.floats(1e-6, 0.5))
def test_a_rate_interval_holds_what_was_seen_and_stays_between_0_and_1(trials: int, share: float, alpha: float) -> None:
    successes = round(trials * share)
    found = rate_interval(successes, trials, alpha)
    assert 0.0 <= found.low <= found.high <= 1.0
    if trials:
        assert successes / trials in found
    assert found.low == 0.0 or rate_evidence_above(successes, trials, found.low) >= -math.log(alpha / 2)
    assert found.high == 1.0 or rate_evidence_below(successes, trials, found.high) >= -math.log(alpha / 2)


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


def test_a_bounded_mean_of_shares_is_bracketed_almost_as_by_counting() -> None:
    """+1, 0 and -1 are bounded by 1, so both methods know the same; the one that sees only sums is wider."""
    wins, losses, n = 60, 40, 2_000
    mean = (wins - losses) / n
    low = bounded_low(n, mean, wins + losses - n * mean**2, 0.05, 1.0, 0.01)
    high = bounded_high(n, mean, wins + losses - n * mean**2, 0.05, 1.0, 0.01)
    least, most = paired_low(wins, losses, n, 0.05), paired_high(wins, losses, n, 0.05)
    assert low < least < mean < most < high
    assert high - low < 1.3 * (most - least)


def test_a_bounded_mean_with_its_unit_changed_has_its_ends_changed_alike() -> None:
    low, high = bounded_low(500, 0.1, 90.0, 0.05, 1.0, 0.02), bounded_high(500, 0.1, 90.0, 0.05, 1.0, 0.02)
    assert bounded_low(500, 10.0, 900_000.0, 0.05, 100.0, 2.0) == pytest.approx(100 * low)
    assert bounded_high(500, 10.0, 900_000.0, 0.05, 100.0, 2.0) == pytest.approx(100 * high)


def test_observations_beyond_the_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        bounded_low(100, 3.0, 1.0, 0.05, 2.0, 0.1)


@pytest.mark.parametrize(("few", "wins", "losses"), [(0, 0, 0), (1, 2, 3), (50, 20, 10)])
def test_more_of_the_same_makes_every_interval_narrower(few: int, wins: int, losses: int) -> None:
    rates = [rate_interval(few * k, 100 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
    pairs = [paired_difference_interval(wins * k, losses * k, 100 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
    means = [mean_interval(300 * k, 0.2, 300.0 * k, ALPHA) for k in (1, 2, 5, 10, 100, 1_000)]
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


def test_the_mean_interval_waits_for_some_observations_and_not_for_variation() -> None:
    assert mean_interval(5_000, 0.0, 0.0, ALPHA) == Interval(0.0, 0.0)
    assert mean_interval(299, 0.0, 0.0, ALPHA) == Interval(-math.inf, math.inf)
    assert mean_interval(299, 0.0, 299.0, ALPHA) == Interval(-math.inf, math.inf)
    assert mean_interval(300, 0.0, 300.0, ALPHA).high < 1.0


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
    assert needed(0, lambda n: rate_evidence_below(0, n, 0.001) >= math.log(20)) == 3_444


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
