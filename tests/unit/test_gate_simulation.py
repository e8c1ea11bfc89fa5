"""A short, seeded version of `make bench-gate`, and that its measures and candidates are what they are said to be."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gate import candidates, methods, rules, sizes, streams, wrong
from gate.methods import Question, answers
from gate.page import page
from gate.rules import HOLDS, Said
from gate.traffic import ERROR_LIMIT, KINDS, MARGIN, Seen, Traffic
from scipy import integrate, optimize, stats

from shadowbus.verdict.sequential.paired import paired_wealth, stakes
from shadowbus.verdict.sequential.rate import ABOVE, BELOW, rate_wealth

TRIALS, LOOKS = 200, 100
AT_MOST = HOLDS + 3 * math.sqrt(HOLDS * (1 - HOLDS) / TRIALS)
SLIGHTLY = next(kind for kind in KINDS if kind.name == "slightly worse than the margin")


@pytest.mark.parametrize("traffic", KINDS, ids=lambda kind: kind.name)
def test_the_gate_is_seldom_wrong_when_looked_at_after_every_batch(traffic: Traffic) -> None:
    ours, _, proving = wrong.rows(traffic, TRIALS, LOOKS, seed=5)
    assert (ours.false_promote or 0.0) <= AT_MOST
    assert (ours.false_send_back or 0.0) <= AT_MOST
    if "one segment" in traffic.name and traffic.right != "PROMOTE":
        assert proving.promote_first <= AT_MOST
        assert ours.promote_first <= 3 * AT_MOST


def test_the_usual_tests_are_wrong_far_more_often_at_the_same_looks() -> None:
    _, theirs, _ = wrong.rows(SLIGHTLY, TRIALS, LOOKS, seed=5)
    assert theirs.false_promote is not None
    assert theirs.false_promote > 2 * HOLDS


def test_a_rule_that_is_not_the_gate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(seen: Seen) -> Said:
        return Said(np.ones_like(seen.erring), np.zeros_like(seen.erring))

    monkeypatch.setitem(wrong.RULES, "gate", careless)
    with pytest.raises(RuntimeError, match="differ"):
        wrong.rows(SLIGHTLY, 2, 10, seed=5)


@pytest.mark.parametrize("name", ["4 % better", "10 % worse", "errors twice the limit", "1 % labels, 10 % worse"])
def test_the_rule_for_arrays_says_what_decide_says(name: str) -> None:
    seen = next(kind for kind in KINDS if kind.name == name).seen(np.random.default_rng(3), 3, 60)
    said = rules.gate(seen)
    assert all(rules.agrees(seen, said, trial, look) for trial in range(3) for look in range(0, 60, 3))
    assert name.startswith("1 %") or (said.promote | said.send_back)[:, -1].all()


def test_the_truth_so_far_of_traffic_that_drifts_is_the_average_so_far() -> None:
    drifts = next(kind for kind in KINDS if kind.name == "drifting from better to worse")
    seen = drifts.seen(np.random.default_rng(1), 2, 100)
    average = np.linspace(0.01, -0.055, 100).cumsum() / np.arange(1, 101)
    assert seen.worse[0].tolist() == (average < -MARGIN).tolist()
    assert not seen.erring.any()


@pytest.mark.parametrize("look", [0, 9, 99])
@pytest.mark.parametrize("alternatives", [BELOW, ABOVE])
def test_the_errors_that_decide_are_found_as_by_trying_each(look: int, alternatives: object) -> None:
    requests = 100 * np.arange(1.0, 101.0)
    bets = BELOW if alternatives is BELOW else ABOVE
    found = rules.enough_errors(requests, bets, 0.05)[look]
    each = np.arange(0.0, 400.0)
    shown = rate_wealth(each, requests[look], ERROR_LIMIT, bets) >= math.log(20)
    expected = max(each[shown], default=-1) if bets is BELOW else min(each[shown])
    assert found == expected


# The measure.


def test_the_size_of_a_test_without_errors_is_known_in_closed_form() -> None:
    assert sizes.for_rate(0.001, 0.0, 0.05) == math.ceil(math.log(0.05) / math.log1p(-0.001))


@pytest.mark.parametrize(("limit", "rate"), [(0.01, 0.005), (0.05, 0.1)])
def test_the_size_for_a_rate_has_the_power_it_says(limit: float, rate: float) -> None:
    size = sizes.for_rate(limit, rate, 0.05)
    errors = np.arange(size + 1)
    tail = stats.binom.cdf(errors, size, limit) if rate < limit else stats.binom.sf(errors - 1, size, limit)
    assert stats.binom.pmf(errors, size, rate)[tail <= 0.05].sum() >= 0.8


def test_the_size_for_a_difference_has_the_power_it_says() -> None:
    size = sizes.for_difference(-0.01, 0.0, 0.06, 0.05)
    random = np.random.default_rng(4)
    null = random.multinomial(size, [0.025, 0.035, 0.94], 40_000)
    real = random.multinomial(size, [0.03, 0.03, 0.94], 40_000)
    least = np.quantile(null[:, 0] - null[:, 1], 0.95, method="higher")
    assert np.mean(real[:, 0] - real[:, 1] > least) == pytest.approx(0.8, abs=0.015)
    assert size == pytest.approx(sizes.for_mean(0.01, math.sqrt(0.0599), math.sqrt(0.06), 0.05), rel=0.05)


# The candidates are what the papers say.


@pytest.mark.parametrize(("successes", "trials", "limit", "over"), [(3, 900, 0.01, False), (20, 900, 0.01, True)])
def test_a_beta_binomial_mixture_is_an_average_of_likelihood_ratios(
    successes: int, trials: int, limit: float, over: bool
) -> None:
    density = stats.beta(0.5, 0.5)
    ends = (limit, 0.2) if over else (0.0, limit)
    whole = density.sf(limit) if over else density.cdf(limit)

    def ratio(rate: float) -> float:
        log = stats.binom.logpmf(successes, trials, rate) - stats.binom.logpmf(successes, trials, limit)
        return float(np.exp(log) * density.pdf(rate) / whole)

    expected = integrate.quad(ratio, *ends, points=[successes / trials], limit=200)[0]
    found = candidates.beta_binomial(np.asarray(successes, float), np.asarray(trials, float), limit, above=over)
    assert float(np.exp(found)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("up", "down", "trials"), [(30, 10, 500), (3, 0, 400), (60, 40, 1_000)])
def test_the_largest_likelihood_under_the_limit_is_the_largest(up: int, down: int, trials: int) -> None:
    limit, ties = -0.01, trials - up - down

    def unlikely(worse: float) -> float:
        shares = np.asarray([worse + limit, worse, 1 - 2 * worse - limit])
        return -float(np.dot([up, down, ties], np.log(shares)))

    best = optimize.minimize_scalar(unlikely, bounds=(0.01 + 1e-12, 0.5), method="bounded", options={"xatol": 1e-12})
    mixed = math.lgamma(1.5) - 3 * math.lgamma(0.5) - math.lgamma(trials + 1.5)
    mixed += sum(math.lgamma(count + 0.5) for count in (up, down, ties))
    ours, theirs, labels = (np.asarray(count, float) for count in (up, down, trials))
    assert float(candidates.dirichlet_multinomial(ours, theirs, labels, limit)) == pytest.approx(
        mixed + best.fun, abs=1e-3
    )


def test_bets_by_value_on_wins_and_losses_are_the_bets_of_the_gate() -> None:
    each = [(1.0, np.array([[30.0]])), (-1.0, np.array([[20.0]])), (0.0, np.array([[950.0]]))]
    found = candidates.by_value(each, -0.01, -1.0, stakes(0.01))
    ours, theirs, labels = (np.asarray(count) for count in (30.0, 20.0, 1_000.0))
    assert found[0, 0] == pytest.approx(float(paired_wealth(ours, theirs, labels, -0.01, stakes(0.01))))


def test_learned_bets_are_made_before_what_they_are_about() -> None:
    """Batch after batch, with the stake worked out from those before."""
    values, limit = [[1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 1, 0]], 0.4
    each = [(value, np.array([[float(row.count(value)) for row in values]])) for value in (1, 0)]
    n = 4 * np.arange(1.0, 4.0)
    sums = np.array([[2.0, 3.0, 6.0]])
    wealth, expected, past = 0.0, [], np.array([])
    for row in values:
        stake = 0.0
        if len(past):
            ahead = past.mean() - limit
            stake = min(max(0.0, ahead / ((past - limit) ** 2).mean()), 0.5 / limit)
        wealth += sum(math.log1p(stake * (value - limit)) for value in row)
        expected.append(wealth)
        past = np.append(past, row)
    found = candidates.plug_in(sums / n, sums / n, [(float(value), counts) for value, counts in each], limit, 0.0)
    assert found[0].tolist() == pytest.approx(expected)


def test_a_half_normal_mixture_is_an_average_of_normal_likelihood_ratios() -> None:
    def ratio(stake: float) -> float:
        return float(2 * stats.norm.pdf(stake, scale=0.1) * np.exp(stake * 30.0 - stake**2 * 400 / 2))

    expected = integrate.quad(ratio, 0, 1, points=[0.075])[0]
    found = candidates.half_normal(np.asarray(60.0), np.asarray(400.0), np.asarray(2.0), 0.2)
    assert float(np.exp(found)) == pytest.approx(expected)


# How long it takes.


@pytest.mark.parametrize(
    "question",
    [
        methods.below(0.01, 0.005),
        methods.above(0.01, 0.02),
        methods.paired(0.01, 0.0, 0.06),
        methods.unbounded(0.05, streams.laplace, "Laplace"),
    ],
    ids=lambda question: question.statistic,
)
def test_the_right_answer_takes_little_longer_than_a_planned_test(question: Question) -> None:
    [answer] = answers(question, 400, 2, compare=False)
    assert answer.ratio is not None
    assert answer.ratio <= 1.35  # 1.25, and chance


def test_bets_made_for_another_effect_would_take_too_long() -> None:
    question = methods.paired(0.01, 0.0, 0.06)
    other = {"other": lambda s: paired_wealth(s.count(1.0), s.count(-1.0), s.n, -0.01, stakes(0.0002))}
    [answer] = answers(replace(question, methods=other), 400, 2, compare=False)
    assert answer.ratio is None or answer.ratio > 1.35


def test_the_page_has_every_row() -> None:
    rows = [row for kind in KINDS for row in wrong.rows(kind, 2, 6, seed=1)]
    found = answers(methods.below(0.01, 0.0), 20, 1, compare=False)
    written = page({"trials": 2, "looks": 6, "seed": 1, "cpu_seconds": 1, "cpu": "one"}, rows, found, found)
    assert all(f"\n| {kind.name} |" in written for kind in KINDS)
    assert "| rate below its limit | 0.000% of at most 1.0% | 299 |" in written


def test_seen_counts_only_grow() -> None:
    seen: Seen = KINDS[-1].seen(np.random.default_rng(2), 4, 30)
    for counts in (seen.errors, seen.up, seen.down, seen.labels):
        assert (np.diff(counts, axis=1) >= 0).all()
    assert (seen.up + seen.down <= seen.labels).all()
