"""Answers that are a number.

Two answers agree when they differ by no more than `max(absolute_tolerance, relative_tolerance * |live|)`, and their
distance is the absolute difference. An answer is right when it is within the same tolerance of its label, and its loss
is its absolute error. Texts that are plain decimal numbers count as numbers, because labels from databases often come
as text; truth values, null, lists and what is not finite do not.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shadowbus.compare.options import number
from shadowbus.compare.pairwise import Scoreless

_DECIMAL = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Regression(Scoreless):
    """Compares answers that are a number.

    Attributes:
        absolute_tolerance: A difference that never matters, in the answer's unit.
        relative_tolerance: A difference that never matters, as a share of the live answer (or of the label).

    >>> Regression(absolute_tolerance=0.5).compare([10.0, 10.0], [None, None], [10.25, 11], [None, None])
    ([True, False], [0.25, 1.0])
    >>> Regression(relative_tolerance=0.1).judge("100", 95.0, None)
    Judged(correct=True, loss=5.0, measure='absolute_error')
    """

    task = "regression"
    measure = "absolute_error"
    absolute_tolerance: float = 0.0
    relative_tolerance: float = 0.01

    def pairs(self, live: Sequence[object], shadow: Sequence[object]) -> tuple[list[bool | None], list[float | None]]:
        """Compare n pairs of numbers."""
        ours, theirs = _numbers(live), _numbers(shadow)
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.abs(ours - theirs)
            near = apart <= np.maximum(self.absolute_tolerance, self.relative_tolerance * np.abs(ours))
        agree: list[bool | None] = near.tolist()
        distances: list[float | None] = apart.tolist()
        for position in np.flatnonzero(~np.isfinite(apart)).tolist():
            distances[position] = None
            if not (math.isfinite(ours[position]) and math.isfinite(theirs[position])):
                agree[position] = None
        return agree, distances


def regression(options: Mapping[str, object]) -> Regression:
    """The comparator for these options.

    Raises:
        SettingsError: When a tolerance is not a finite number of at least zero.
    """
    return Regression(
        number(options, "absolute_tolerance", 0.0, 0),
        number(options, "relative_tolerance", 0.01, 0),
    )


def _numbers(values: Sequence[Any]) -> Any:
    if set(map(type, values)) <= {float}:
        return np.fromiter(values, np.float64, len(values))
    return np.fromiter(map(_number, values), np.float64, len(values))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
        return math.nan
    try:
        return float(value)
    except (OverflowError, ValueError):  # what `strip` takes for a space, `float` may not
        return math.nan
