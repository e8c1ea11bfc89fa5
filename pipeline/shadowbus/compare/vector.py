"""Answers that are a vector, such as an embedding.

Two vectors agree when the cosine of the angle between them is at least `min_cosine`; their distance is one minus that
cosine, 0 (same direction) to 2 (opposite). A label is a vector too, and the loss is the distance to it. What is not a
list of finite numbers, has another length than the other, or has no direction (all zeros) cannot be compared.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowbus.compare.options import number
from shadowbus.compare.pairwise import Pair, Pairwise


@dataclass(frozen=True, slots=True)
class Vectors(Pairwise):
    """Compares answers that are a vector.

    Attributes:
        min_cosine: From which cosine on two vectors agree, -1 to 1.

    >>> Vectors(0.9).compare([[1, 0], [1, 0]], [None] * 2, [[2, 0.0], [0, 1]], [None] * 2)
    ([True, False], [0.0, 1.0])
    """

    task = "vector"
    measure = "cosine_distance"
    min_cosine: float = 0.99

    def pair(self, one: object, other: object) -> Pair:
        """Compare two vectors; distances are in [0, 2]."""
        cosine = _cosine(_direction(one), _direction(other))
        return (None, None) if cosine is None else (cosine >= self.min_cosine, 1 - cosine)


def vector(options: Mapping[str, object]) -> Vectors:
    """The comparator for these options.

    Raises:
        SettingsError: `min_cosine` is not a number from -1 to 1.
    """
    return Vectors(number(options, "min_cosine", 0.99, -1, 1))


def _direction(value: object) -> NDArray[np.float64] | None:
    """The unit vector; scaled by its largest part first, so that nothing overflows and nothing vanishes."""
    if not isinstance(value, list | tuple) or not value or not {*map(type, value)} <= {int, float}:
        return None
    try:
        numbers = np.fromiter(value, np.float64, len(value))
    except OverflowError:
        return None
    largest = float(np.abs(numbers).max())
    if not 0 < largest < math.inf:
        return None
    numbers = numbers / largest
    unit: NDArray[np.float64] = numbers / np.sqrt(numbers @ numbers)
    return unit


def _cosine(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> float | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return min(1.0, max(-1.0, float(one @ other)))
