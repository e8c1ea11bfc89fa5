"""Observations of one statistic as they come, summed up at every look, for many simulated trials."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gate.traffic import Array


@dataclass(frozen=True, slots=True)
class Stream:
    """Sums so far at every look: `n` of shape (looks,), the others (trials, looks).

    `each` has, where observations take few values, every value and how often it came in each batch.
    """

    n: Array
    sums: Array
    squares: Array
    each: list[tuple[float, Array]]

    @property
    def mean(self) -> Array:
        """The mean so far."""
        return self.sums / self.n

    @property
    def m2(self) -> Array:
        """The sum of squared deviations from the mean so far."""
        return self.squares - self.n * self.mean**2

    def count(self, value: float) -> Array:
        """How often a value came so far."""
        found: Array = next(counts for this, counts in self.each if this == value).cumsum(axis=1)
        return found


Source = Callable[[np.random.Generator, int, int, int], Stream]
"""From a source of chance, trials, looks, and observations between two looks."""


@dataclass(frozen=True, slots=True)
class FewValues:
    """Observations that take few values, each with its share."""

    shares: dict[float, float]

    @property
    def mean(self) -> float:
        """Of one observation."""
        return sum(value * share for value, share in self.shares.items())

    @property
    def deviation(self) -> float:
        """The standard deviation of one observation."""
        return float(np.sqrt(sum(share * (value - self.mean) ** 2 for value, share in self.shares.items())))

    def __call__(self, random: np.random.Generator, trials: int, looks: int, batch: int) -> Stream:
        """Simulate, as a `Source`."""
        counts = random.multinomial(batch, list(self.shares.values()), (trials, looks)).astype(float)
        each = [(value, counts[..., place]) for place, value in enumerate(self.shares)]
        sums = sum((value * count for value, count in each), np.zeros((trials, looks)))
        squares = sum((value**2 * count for value, count in each), np.zeros((trials, looks)))
        return Stream(batch * np.arange(1.0, looks + 1), sums.cumsum(axis=1), squares.cumsum(axis=1), each)


def rate(of: float) -> FewValues:
    """1 for a success, 0 otherwise."""
    return FewValues({1.0: of, 0.0: 1 - of})


def pairs(better: float, apart: float) -> FewValues:
    """1: only the shadow was right. -1: only the live model was. 0: both or neither."""
    return FewValues({1.0: (apart + better) / 2, -1.0: (apart - better) / 2, 0.0: 1 - apart})


def costs(mean: float, flips: float) -> FewValues:
    """Two kinds of decisions that flip, one five times as dear as the other, and as often to the good as to the bad.

    The mean is made by the cheap kind.
    """
    return FewValues(
        {
            1.0: flips / 8,
            -1.0: flips / 8,
            0.2: 3 * flips / 8 + mean * 2.5,
            -0.2: 3 * flips / 8 - mean * 2.5,
            0.0: 1 - flips,
        }
    )


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Observations with a mean and a standard deviation of 1, from a standardized source of chance."""

    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]

    def __call__(self, random: np.random.Generator, trials: int, looks: int, batch: int) -> Stream:
        """Simulate, as a `Source`."""
        values = self.mean + self.draw(random, (trials, looks, batch))
        squares = np.einsum("tlb,tlb->tl", values, values)
        return Stream(batch * np.arange(1.0, looks + 1), values.sum(axis=2).cumsum(axis=1), squares.cumsum(axis=1), [])


def laplace(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Symmetric, with longer tails than a normal distribution."""
    return random.laplace(0.0, np.sqrt(0.5), shape)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mostly a little above the mean and seldom far below it: a lognormal distribution (sigma 1), turned over."""
    spread = np.sqrt(np.expm1(1.0) * np.e)
    drawn: Array = (np.exp(0.5) - np.exp(random.standard_normal(shape))) / spread
    return drawn
