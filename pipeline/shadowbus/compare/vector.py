"""Answers that are a vector, such as an embedding.

Two vectors agree when the cosine of the angle between them is at least `min_cosine`; their distance is one minus that
cosine, 0 (same direction) to 2 (opposite). A label is a vector too, and the loss is the distance to it. What is not a
list of finite numbers, has another length than the other, or has no direction (all zeros) cannot be compared.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowbus.compare.comparator import Judged, Scores
from shadowbus.compare.options import number


@dataclass(frozen=True, slots=True)
class Vectors:
    """Compares answers that are a vector.

    Attributes:
        min_cosine: From which cosine on two vectors agree, -1 to 1.

    >>> Vectors(0.9).compare([[1, 0], [1, 0]], [None] * 2, [[2, 0.0], [0, 1]], [None] * 2)
    ([True, False], [0.0, 1.0])
    """

    min_cosine: float = 0.99

    @property
    def task(self) -> str:
        """The kind's name in the settings."""
        return "vector"

    def compare(
        self,
        live: Sequence[object],
        live_scores: Sequence[Scores | None],
        shadow: Sequence[object],
        shadow_scores: Sequence[Scores | None],
    ) -> tuple[list[bool | None], list[float | None]]:
        """Compare n pairs; see `Comparator.compare`. Scores are ignored; distances are in [0, 2]."""
        del live_scores, shadow_scores
        cosines = [_cosine(_direction(one), _direction(other)) for one, other in zip(live, shadow, strict=True)]
        agree = [None if cosine is None else cosine >= self.min_cosine for cosine in cosines]
        return agree, [None if cosine is None else 1 - cosine for cosine in cosines]

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold an answer against its label; the loss is the "cosine_distance"."""
        (correct,), (distance,) = self.compare([label], [scores], [prediction], [scores])
        return Judged(correct, distance, None if distance is None else "cosine_distance")


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
