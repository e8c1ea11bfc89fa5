"""How far apart two distributions are, from their shares in the same parts. Pure."""

import math
from collections.abc import Sequence

import numpy as np

from shadowbus.statistics.logarithm import log

LEAST_SHARE = 1e-4
LN2 = 0.6931471805599453


def stability_index(reference: Sequence[float], other: Sequence[float]) -> float:
    """The population stability index: the sum of (o - r) ln(o / r), 0 when both are the same, without a bound.

    The Kullback-Leibler divergence both ways (Jeffreys 1946), under the name it has in credit scoring (Siddiqi 2006,
    *Credit Risk Scorecards*). No share is taken as smaller than `LEAST_SHARE`: one empty part would make it infinite.

    Args:
        reference: Shares that sum to 1.
        other: The shares of the same parts.

    >>> round(stability_index([0.5, 0.5], [0.25, 0.75]), 4), stability_index([0.5, 0.5], [0.5, 0.5])
    (0.2747, 0.0)
    """
    pairs = [(max(one, LEAST_SHARE), max(two, LEAST_SHARE)) for one, two in zip(reference, other, strict=True)]
    logarithms = log(np.array([two / one for one, two in pairs])).tolist()
    return math.fsum((two - one) * ratio for (one, two), ratio in zip(pairs, logarithms, strict=True))


def jensen_shannon(one: Sequence[float], other: Sequence[float]) -> float:
    """The Jensen-Shannon divergence to base 2, from 0 (the same) to 1 (nothing in common).

    Lin (1991), "Divergence measures based on the Shannon entropy".

    >>> jensen_shannon([0.5, 0.5, 0.0], [0.0, 0.0, 1.0]), jensen_shannon([0.5, 0.5], [0.5, 0.5])
    (1.0, 0.0)
    """
    pairs = [(share, (a + b) / 2) for a, b in zip(one, other, strict=True) for share in (a, b) if share > 0.0]
    logarithms = log(np.array([share / middle for share, middle in pairs])).tolist()
    whole = math.fsum(share * ratio for (share, _), ratio in zip(pairs, logarithms, strict=True))
    return min(1.0, max(0.0, whole / (2 * LN2)))
