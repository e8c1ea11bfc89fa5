"""Methods that are valid at every look and were not chosen, in a few lines each, to compare with those that were.

Each function returns log wealth, for arrays of cumulative sums, of the bet that something is above (or below) a limit;
what is shown at level alpha is shown where that is at least `-log(alpha)`.
"""

import numpy as np
from gate.traffic import Array
from scipy import special, stats

from shadowbus.verdict.sequential.mixture import Mixture, log_average


def beta_binomial(successes: Array, trials: Array, limit: float, *, above: bool) -> Array:
    """A beta density over all rates on one side of the limit, in closed form.

    Robbins (1970), "Statistical methods related to the law of the iterated logarithm"; the density is Jeffreys'.
    """
    s, f = successes + 0.5, trials - successes + 0.5
    part = special.betaincc if above else special.betainc
    with np.errstate(divide="ignore"):
        mixed = special.betaln(s, f) + np.log(part(s, f, limit))
    prior = special.betaln(0.5, 0.5) + np.log(part(0.5, 0.5, limit))
    wealth: Array = mixed - prior - successes * np.log(limit) - (trials - successes) * np.log1p(-limit)
    return wealth


def dirichlet_multinomial(up: Array, down: Array, trials: Array, limit: float) -> Array:
    """A Dirichlet density over all three cells, over the largest likelihood with a difference of at most the limit.

    Wasserman, Ramdas & Balakrishnan (2020), "Universal inference". The density is Jeffreys', so a cell that is empty so
    far is not taken to be impossible.
    """
    ties = trials - up - down
    mixed = special.gammaln(1.5) - 3 * special.gammaln(0.5) - special.gammaln(trials + 1.5)
    mixed = mixed + special.gammaln(up + 0.5) + special.gammaln(down + 0.5) + special.gammaln(ties + 0.5)
    b = (up + down) * (1 - limit) - 2 * limit * (down + ties)
    worse = (b + np.sqrt(b * b + 8 * trials * down * limit * (1 - limit))) / (4 * trials)
    worse = np.clip(worse, max(0.0, -limit), (1 - limit) / 2)
    likely = special.xlogy(up, worse + limit) + special.xlogy(down, worse) + special.xlogy(ties, 1 - 2 * worse - limit)
    return np.where(up - down > limit * trials, mixed - likely, -np.inf)


def plug_in(mean: Array, square: Array, each: list[tuple[float, Array]], limit: float, least: float) -> Array:
    """Bets that are learned as one goes: the stake of each batch is the best one for all batches before it.

    Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting" (aGRAPA). Needs the order.

    Args:
        mean: Of all up to each look, shape (trials, looks).
        square: The mean of the squares, of the same shape.
        each: The values there are, and how often each came in each batch.
        limit: Against which is bet.
        least: The smallest value there is.
    """
    ahead = mean - limit
    best = ahead / np.maximum(square - 2 * limit * mean + limit * limit, 1e-9)
    stake = np.clip(np.roll(best, 1, axis=1), 0.0, 0.5 / (limit - least))
    stake[:, 0] = 0.0
    grown = sum((count * np.log1p(stake * (value - limit)) for value, count in each), np.zeros_like(mean))
    total: Array = np.cumsum(grown, axis=1)
    return total


def by_value(each: list[tuple[float, Array]], limit: float, least: float, bets: Mixture) -> Array:
    """Product bets as for the paired difference, from how often each of a few values came so far.

    As above, with fixed stakes in a mixture; no order is needed, but a count for each value.
    """
    unit = limit - least
    shape = each[0][1].shape
    wealth = np.zeros((*shape, len(bets.points)))
    for value, count in each:
        wealth += np.multiply.outer(count, np.log1p(bets.points * (value - limit) / unit))
    return log_average(wealth, bets.log_shares)


def half_normal(ahead: Array, n: Array, deviation: Array, effect: float) -> Array:
    """A half-normal density over stakes, in closed form, with a standard deviation that is known or observed.

    Robbins (1970), and with the observed one Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform
    central limit theory and asymptotic confidence sequences".

    Args:
        ahead: The sum of the observations minus the limit each.
        n: Observations.
        deviation: Standard deviation of one, or the reach of a bounded one (then it is Hoeffding's bound).
        effect: In the unit of the observations; the density's scale.
    """
    scale = effect / deviation
    wide = 1 + n * scale**2
    score = ahead / deviation * scale / np.sqrt(wide)
    wealth: Array = np.log(2.0) - np.log(wide) / 2 + score**2 / 2 + stats.norm.logcdf(score)
    return wealth
