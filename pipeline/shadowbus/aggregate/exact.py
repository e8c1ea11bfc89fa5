"""Sums of floating-point numbers without any rounding, so that order, batches and parts leave no trace in them.

A sum is a whole number of units of 2^-1127, below which no float64 has a bit; Python's integers hold it, however far
its parts lie from each other. What is rounded is only what is read off a sum, once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1127
_UNIT = 1 << UNIT_BITS
_LOW = 27
_MOST = 1 << 18
"""Numbers of a row that one pass may add: 34 bits and 18 more are exact in a float64."""
_FITTING = 1 << 12
"""Numbers that one pass works on, so that they stay in the nearest cache."""


def sums(rows: NDArray[np.float64]) -> list[int]:
    """The sum of each row, in units; all numbers have to be finite.

    >>> [as_float(total) for total in sums(np.array([[1e100, 1.0, -1e100], [0.1, 0.2, -0.3]]))]
    [1.0, 2.7755575615628914e-17]
    """
    totals = [0] * len(rows)
    tall = max(1, _FITTING // max(1, rows.shape[1]))
    for top in range(0, len(rows), tall):
        for start in range(0, rows.shape[1], _MOST):
            for row, more in enumerate(_pass(rows[top : top + tall, start : start + _MOST]), start=top):
                totals[row] += more
    return totals


def as_float(total: int) -> float:
    """A sum, rounded once."""
    return total / _UNIT


def pieces(total: int) -> list[float]:
    """A sum as the fewest floats, the largest first, that add up to it exactly; none for zero.

    >>> pieces(from_pieces([1e100, 1.0]))
    [1e+100, 1.0]
    """
    found: list[float] = []
    while total:
        found.append(as_float(total))
        total -= units(found[-1])
    return found


def from_pieces(floats: Sequence[float]) -> int:
    """The sum of some floats, in units."""
    return sum(units(float(one)) for one in floats)


def units(number: float) -> int:
    """One number in units.

    Raises:
        OverflowError, ValueError: It is not finite.
    """
    over, under = number.as_integer_ratio()
    return over * (_UNIT // under)


def _pass(rows: NDArray[np.float64]) -> list[int]:
    """Of each row: its numbers as whole ones, those whose exponents are within the same eight added up together."""
    bits = np.ascontiguousarray(rows).view(np.int64)
    exponent, whole, negative = (bits >> 52) & 0x7FF, bits & ((1 << 52) - 1), bits >> 63
    normal = (exponent > 0).astype(np.int64)
    whole |= normal << 52
    whole = (whole ^ negative) - negative
    shift = exponent - normal + 53  # a number is `whole << shift` units
    step, rest = shift >> 3, shift & 7
    first = int(step.min())
    width = int(step.max()) - first + 1
    cells = (step - first + np.arange(len(rows))[:, None] * width).ravel()
    upper = np.bincount(cells, ((whole >> _LOW) << rest).ravel(), len(rows) * width)
    lower = np.bincount(cells, ((whole & ((1 << _LOW) - 1)) << rest).ravel(), len(rows) * width)
    used = np.flatnonzero((upper != 0) | (lower != 0))
    totals = [0] * len(rows)
    for cell, high, low in zip(used.tolist(), upper[used].tolist(), lower[used].tolist(), strict=True):
        row, column = divmod(cell, width)
        totals[row] += ((int(high) << _LOW) + int(low)) << ((first + column) << 3)
    return totals
