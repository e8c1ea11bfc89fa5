"""Scores as probability distributions over classes, and how far apart two of them are.

In: scores as they came from JSON. Out: distances in [0, 1], or None where the scores are not probabilities. A list
means the
classes 0, 1, 2, …, so that a list and an object with the keys "0", "1", … can be compared.

Scores count as probabilities when they are finite, not negative, and sum to 1 within `SLACK`: production may well have
rounded them. Margins, single scores and scores of some classes only do not count.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, count
from operator import itemgetter
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.compare.class_name import class_name
from shadowbus.compare.comparator import Scores

SLACK = 0.01

CLIP = 1e-15
"""The least probability that log loss reckons with: an answer that gave the label no chance costs 34.5, not
infinity."""


def distribution(scores: object) -> dict[str, float] | None:
    """Probabilities by canonical class, or None when these scores are not probabilities; never raises.

    >>> distribution([0.25, 0.75])
    {'0': 0.25, '1': 0.75}
    >>> distribution({"yes": 0.7}) is None
    True
    """
    if isinstance(scores, list | tuple):
        names: Sequence[str | None] = _positions(len(scores))
        values: Sequence[Any] = scores
    elif isinstance(scores, Mapping):
        names, values = [class_name(key) for key in scores], list(scores.values())
        if None in names or len(set(names)) != len(names):
            return None
    else:
        return None
    if not _are_probabilities(values):
        return None
    return {name: float(value) for name, value in zip(names, values, strict=True) if name is not None}


def probability(scores: object, name: str) -> float | None:
    """What a distribution gives a class, by its canonical text; None if these scores are none, or do not know it.

    >>> probability([0.25, 0.75], "1"), probability([0.25, 0.75], "2"), probability([3, 4], "1")
    (0.75, None, None)
    """
    if not isinstance(scores, list):
        return (distribution(scores) or {}).get(name)
    place = _places(len(scores)).get(name)
    return float(scores[place]) if place is not None and _are_probabilities(scores) else None


def _are_probabilities(values: Sequence[Any]) -> bool:
    try:
        total = math.fsum(values)
    except (TypeError, ValueError, OverflowError):  # not numbers, or numbers that have no sum
        return False
    return abs(total - 1) <= SLACK and not min(values) < 0


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The total variation distance of two distributions: half the sum of the differences, 0 (equal) to 1 (disjoint).

    Levin, Peres and Wilmer, *Markov Chains and Mixing Times*, proposition 4.2.

    >>> total_variation({"a": 0.5, "b": 0.5}, {"a": 0.75, "c": 0.25})
    0.5
    """
    classes = one.keys() | other.keys()
    return min(1.0, 0.5 * math.fsum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in classes))


def distances(live: Sequence[Scores | None], shadow: Sequence[Scores | None]) -> list[float | None]:
    """The total variation distance of n pairs, None for each pair in which either is not a distribution."""
    if NoneType not in {*map(type, live), *map(type, shadow)}:
        return _distances(live, shadow)
    both = [at for at, one, other in zip(count(), live, shadow) if one is not None and other is not None]
    found: list[float | None] = [None] * len(live)
    if both:
        apart = _distances([live[at] for at in both], [shadow[at] for at in both])
        for at, distance in zip(both, apart, strict=True):
            found[at] = distance
    return found


def _distances(live: Sequence[Any], shadow: Sequence[Any]) -> list[float | None]:
    table = _table([*live, *shadow])
    if table is None:
        return [_distance(one, other) for one, other in zip(live, shadow, strict=True)]
    # Summed as a product with ones: along a short axis that is several times quicker than sum().
    ones = np.ones(table.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):
        good = np.abs(table @ ones - 1) <= SLACK
        if not table.min() >= 0:
            good &= (table >= 0).all(axis=1)
        halves = 0.5 * (np.abs(table[: len(live)] - table[len(live) :]) @ ones)
    found: list[float | None] = np.minimum(halves, 1.0).tolist()
    both = good[: len(live)] & good[len(live) :]
    if not both.all():
        for position in np.flatnonzero(~both).tolist():
            found[position] = None
    return found


def _distance(one: object, other: object) -> float | None:
    first, second = distribution(one), distribution(other)
    return None if first is None or second is None else total_variation(first, second)


def _table(scores: Sequence[Any]) -> NDArray[np.float64] | None:
    """All scores as one matrix, if they all have the same form and hold nothing but numbers."""
    kinds = set(map(type, scores))
    if kinds == {dict}:
        rows = _columns(scores)
    elif kinds == {list}:
        rows = scores
    else:
        return None
    if rows is None or len(set(map(len, rows))) != 1 or not len(rows[0]):
        return None
    try:
        # Unlike numpy, array takes numbers only: neither None nor text becomes one.
        flat = array("d", list(chain.from_iterable(rows)))
    except (TypeError, OverflowError):
        return None
    return np.frombuffer(flat).reshape(len(rows), -1)


def _columns(scores: Sequence[dict[str, object]]) -> Sequence[Any] | None:
    keys = scores[0].keys()
    names = {class_name(key) for key in keys}
    if len(names) != len(keys) or len(keys) < 2 or any(one.keys() != keys for one in scores):
        return None
    return list(map(itemgetter(*keys), scores))


@lru_cache(64)
def _positions(width: int) -> tuple[str, ...]:
    return tuple(map(str, range(width)))


@lru_cache(64)
def _places(width: int) -> dict[str, int]:
    return {name: place for place, name in enumerate(_positions(width))}
