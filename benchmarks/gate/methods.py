"""For each statistic: is a method valid when looked at all the time, and how many samples does it take?

A question has a limit, observations at the limit (where it must seldom say yes), observations at an effect, and the
size of the usual test, with the same alpha and 80 % power, that would find this effect in one planned look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gate import candidates, sizes, streams
from gate.streams import FewValues, Source, Stream, Unbounded
from gate.traffic import Array

from shadowbus.verdict.sequential.mean import bounded_wealth, mean_wealth
from shadowbus.verdict.sequential.paired import paired_wealth, stakes
from shadowbus.verdict.sequential.rate import ABOVE, BELOW, rate_wealth

ALPHA = 0.05
Method = Callable[[Stream], Array]
CHUNK = 100
NULL_LOOKS, NULL_BATCH = 1_000, 100
STEPS, PATIENCE = 100, 5
"""Looks within the size of the usual test, and how many times that size is waited for an answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one statistic; the first method is the one that the gate uses."""

    statistic: str
    effect: str
    size: int
    at_effect: Source
    at_limit: Source
    methods: dict[str, Method]

    @property
    def chosen(self) -> str:
        """The method that the gate uses."""
        return next(iter(self.methods))


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one method: samples until most trials have the right answer, and the share of false ones at the limit."""

    statistic: str
    effect: str
    method: str
    chosen: bool
    size: int
    median: float | None
    ratio: float | None
    false_alarms: float | None = None


def yes(method: Method, stream: Stream) -> Array:
    """For each trial, the observations until the method says yes; infinity: it never does."""
    shown = method(stream) >= -np.log(ALPHA)
    return np.where(shown.any(axis=1), stream.n[shown.argmax(axis=1)], np.inf)


def _asked(
    source: Source, methods: dict[str, Method], trials: int, looks: int, batch: int, seed: int
) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    found: dict[str, list[Array]] = {name: [] for name in methods}
    for start in range(0, trials, CHUNK):
        stream = source(random, min(CHUNK, trials - start), looks, batch)
        for name, method in methods.items():
            found[name].append(yes(method, stream))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def answers(question: Question, trials: int, seed: int, *, compare: bool) -> list[Answer]:
    """Of the chosen method, or of all with their false alarms.

    Args:
        question: What is asked.
        trials: How many are simulated, at the effect and at the limit.
        seed: Where chance starts.
        compare: Whether all methods are asked, also at the limit.
    """
    names = question.methods if compare else {question.chosen: question.methods[question.chosen]}
    batch = max(1, question.size // STEPS)
    looks = int(PATIENCE * question.size / batch)
    after = _asked(question.at_effect, names, trials, looks, batch, seed)
    false = _asked(question.at_limit, names, trials, NULL_LOOKS, NULL_BATCH, seed + 1) if compare else {}
    rows = []
    for name in names:
        median = float(np.median(after[name]))
        known = np.isfinite(median)
        rows.append(
            Answer(
                question.statistic,
                question.effect,
                name,
                name == question.chosen,
                question.size,
                median if known else None,
                median / question.size if known else None,
                float(np.isfinite(false[name]).mean()) if compare else None,
            )
        )
    return rows


def below(limit: float, rate: float) -> Question:
    """Is a rate below its limit?"""
    return Question(
        "rate below its limit",
        f"{rate:.3%} of at most {limit:.1%}",
        sizes.for_rate(limit, rate, ALPHA),
        streams.rate(rate),
        streams.rate(limit),
        {
            "mixture of multiples of the limit": lambda s: rate_wealth(s.count(1.0), s.n, limit, BELOW),
            "beta-binomial mixture": lambda s: candidates.beta_binomial(s.count(1.0), s.n, limit, above=False),
            "betting, learned in order": lambda s: _plug_in(s, limit, -1),
            "empirical Bernstein": lambda s: bounded_wealth(s.n, -s.mean, s.m2, -limit, 1.0, stakes(limit - rate)),
            "asymptotic": lambda s: mean_wealth(_wide(s), -s.mean, s.m2, -limit, limit - rate),
        },
    )


def above(limit: float, rate: float) -> Question:
    """Is a rate above its limit?"""
    return Question(
        "rate above its limit",
        f"{rate:.3%} of at most {limit:.1%}",
        sizes.for_rate(limit, rate, ALPHA),
        streams.rate(rate),
        streams.rate(limit),
        {
            "mixture of multiples of the limit": lambda s: rate_wealth(s.count(1.0), s.n, limit, ABOVE),
            "beta-binomial mixture": lambda s: candidates.beta_binomial(s.count(1.0), s.n, limit, above=True),
            "betting, learned in order": lambda s: _plug_in(s, limit),
            "empirical Bernstein": lambda s: bounded_wealth(s.n, s.mean, s.m2, limit, 1.0, stakes(rate - limit)),
            "asymptotic": lambda s: mean_wealth(_wide(s), s.mean, s.m2, limit, rate - limit),
        },
    )


def paired(margin: float, better: float, apart: float) -> Question:
    """Is the accuracy at most the margin worse?"""
    bets, limit = stakes(margin), -margin
    return Question(
        "paired accuracy",
        f"{better:+.1%} of at least {limit:.1%}, {apart:.0%} apart",
        sizes.for_difference(limit, better, apart, ALPHA),
        streams.pairs(better, apart),
        streams.pairs(limit, apart),
        {
            "mixture of product bets": lambda s: paired_wealth(s.count(1.0), s.count(-1.0), s.n, limit, bets),
            "betting, learned in order": lambda s: _plug_in(s, limit),
            "Dirichlet-multinomial, universal": lambda s: candidates.dirichlet_multinomial(
                s.count(1.0), s.count(-1.0), s.n, limit
            ),
            "empirical Bernstein": lambda s: bounded_wealth(s.n, s.mean, s.m2, limit, 1.0, bets),
            "asymptotic": lambda s: mean_wealth(_wide(s), s.mean, s.m2, limit, margin),
        },
    )


def bounded(margin: float, source: FewValues, at_limit: FewValues, what: str) -> Question:
    """Is a mean of values between -1 and 1 at most the margin below 0?"""
    bets, limit = stakes(margin), -margin
    return Question(
        "bounded mean",
        f"{source.mean:+.1%} of at least {limit:.1%} of the reach, {what}",
        sizes.for_mean(source.mean - limit, at_limit.deviation, source.deviation, ALPHA),
        source,
        at_limit,
        {
            "empirical Bernstein from sums": lambda s: bounded_wealth(s.n, s.mean, s.m2, limit, 1.0, bets),
            "product bets from counts by value": lambda s: candidates.by_value(
                [(value, count.cumsum(axis=1)) for value, count in s.each], limit, -1.0, bets
            ),
            "betting, learned in order": lambda s: _plug_in(s, limit),
            "Hoeffding, half-normal mixture": lambda s: candidates.half_normal(
                s.sums - s.n * limit, s.n, np.ones(1), 2 * margin
            ),
            "asymptotic": lambda s: mean_wealth(_wide(s), s.mean, s.m2, limit, margin),
        },
    )


def unbounded(effect: float, draw: Callable[[np.random.Generator, tuple[int, ...]], Array], what: str) -> Question:
    """Is a mean of anything above 0?"""
    return Question(
        "unbounded mean",
        f"{effect:g} standard deviations, {what}",
        sizes.for_mean(effect, 1.0, 1.0, ALPHA),
        Unbounded(effect, draw),
        Unbounded(0.0, draw),
        {
            "asymptotic, discrete mixture": lambda s: mean_wealth(_wide(s), s.mean, s.m2, 0.0),
            "asymptotic, half-normal mixture": lambda s: candidates.half_normal(
                s.sums, s.n, np.sqrt(np.maximum(s.m2, 1e-9) / s.n), 2 * effect
            ),
        },
    )


def _wide(stream: Stream) -> Array:
    return np.broadcast_to(stream.n, stream.sums.shape)


def _plug_in(stream: Stream, limit: float, sign: int = 1) -> Array:
    """Bets on the observations, or on their negatives with a sign of -1."""
    each = [(sign * value, count) for value, count in stream.each]
    return candidates.plug_in(
        sign * stream.mean, stream.squares / stream.n, each, sign * limit, min(value for value, _ in each)
    )


def sized() -> tuple[Question, ...]:
    """Where the chosen method is held against the size of the usual test."""
    return (
        *(below(limit, limit * part) for limit in (0.001, 0.01) for part in (0.0, 0.1, 0.3, 0.5, 0.7)),
        *(above(limit, limit * times) for limit in (0.001, 0.01) for times in (1.3, 1.5, 2.0, 3.0, 5.0)),
        *(paired(0.01, 0.0, apart) for apart in (0.02, 0.03, 0.06, 0.15, 0.3)),
        *(paired(0.005, 0.0, apart) for apart in (0.03, 0.1)),
        *(paired(0.01, 0.04, apart) for apart in (0.06, 0.14)),
        *(
            bounded(0.01, streams.costs(0.0, flips), streams.costs(-0.01, flips), f"{flips:.0%} flip")
            for flips in (0.1, 0.4)
        ),
        *(
            bounded(0.01, streams.pairs(0.0, apart), streams.pairs(-0.01, apart), f"{apart:.0%} at an end")
            for apart in (0.06, 0.3, 0.6)
        ),
        *(unbounded(effect, streams.laplace, "Laplace") for effect in (0.02, 0.05, 0.1)),
        unbounded(0.05, streams.skewed, "lognormal"),
    )


def compared() -> tuple[Question, ...]:
    """Where all methods are held against each other."""
    return (
        below(0.01, 0.005),
        above(0.01, 0.02),
        paired(0.01, 0.0, 0.06),
        bounded(0.01, streams.costs(0.0, 0.4), streams.costs(-0.01, 0.4), "40 % flip"),
        unbounded(0.05, streams.laplace, "Laplace"),
        unbounded(0.05, streams.skewed, "lognormal"),
    )
