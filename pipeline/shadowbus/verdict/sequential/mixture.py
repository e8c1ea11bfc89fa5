"""Several bets made side by side with shares of one stake, and what they are worth together.

What comes in are the points that are bet on (or the stakes that are bet) and the share of each; what goes out is the
logarithm of the average wealth. An average of bets that cannot win on average cannot either, so the shares are free to
say where the truth is expected: they decide how soon an answer comes, never how often it is wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Points, ascending in no particular order, and the logarithm of the share of each; the shares sum to 1."""

    points: Array
    log_shares: Array


def mixture(*parts: tuple[Iterable[float], Iterable[float], float]) -> Mixture:
    """One mixture of several parts.

    Args:
        parts: Points, a weight for each (any scale), and the share of this part in the whole.

    Raises:
        ValueError: The shares of the parts do not sum to 1.

    >>> np.exp(mixture(([0.1], [1], 0.5), ([0.2, 0.4], [1, 3], 0.5)).log_shares).round(9).tolist()
    [0.5, 0.125, 0.375]
    """
    points, shares = [], []
    for where, weights, share in parts:
        weighed = np.asarray(list(weights), float)
        points.append(np.asarray(list(where), float))
        shares.append(weighed / weighed.sum() * share)
    if not np.isclose(sum(share for *_, share in parts), 1.0):
        raise ValueError("The shares of the parts must sum to 1.")
    return Mixture(np.concatenate(points), np.log(np.concatenate(shares)))


def log_average(log_wealth: Array, log_shares: Array) -> Array:
    """The logarithm of the average wealth.

    Args:
        log_wealth: Shape `(..., k)`: the logarithm of what each of `k` bets has become.
        log_shares: Shape `(k,)`.

    Returns:
        Shape `(...)`; minus infinity where all is lost.

    >>> float(np.exp(log_average(np.log([[1.0, 3.0]]), np.log([0.5, 0.5]))[0]).round(9))
    2.0
    """
    together = log_wealth + log_shares
    top = together.max(axis=-1, keepdims=True, initial=-np.finfo(float).max)
    together -= top
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.exp(together, out=together).sum(axis=-1)) + top[..., 0]
    return total
