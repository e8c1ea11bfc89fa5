"""Sums of floating-point numbers without any rounding, so that order, batches and parts leave no trace in them.

A sum is a whole number of units of 2^-1074, the smallest float64; Python's integers hold it, however far its parts lie
from each other. What is rounded is only what is read off a sum, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1074
_UNIT = 1 << UNIT_BITS


@dataclass(frozen=True, slots=True)
class Addends:
    """Rows of numbers, cut so that any of their columns can be added without rounding.

    Each number is the sum of its parts in `layers`. All of one row and layer are multiples of one power of two, and so
    small against it that a float64 holds the sum of as many as there are. The cut is that of Rump, Ogita & Oishi
    (2008), "Accurate floating-point summation": what `(s + x) - s` keeps of `x`, for a power of two `s`.
    """

    layers: list[NDArray[np.float64]]
    rows: int

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> Self:
        """From an array of shape (rows, n) of finite numbers below 1e300."""
        layers: list[NDArray[np.float64]] = []
        rest, room = numbers, numbers.shape[1].bit_length() + 1
        while rest.any():
            _, exponents = np.frexp(np.abs(rest).max(axis=1, keepdims=True))
            scale = np.ldexp(1.0, exponents + room)
            layer = (scale + rest) - scale
            rest = rest - layer
            layers.append(layer)
        return cls(layers, len(numbers))

    def sums(self, columns: NDArray[np.int64] | None = None) -> list[int]:
        """The sum of each row, in units; over some columns only, where they are named."""
        totals = [0] * self.rows
        for layer in self.layers:
            chosen = layer if columns is None else layer[:, columns]
            for row, part in enumerate(chosen.sum(axis=1).tolist()):
                if part:
                    totals[row] += units(part)
        return totals


def sums(rows: NDArray[np.float64]) -> list[int]:
    """The sum of each row, in units.

    >>> [as_float(total) for total in sums(np.array([[1e100, 1.0, -1e100], [0.1, 0.2, -0.3]]))]
    [1.0, 2.7755575615628914e-17]
    """
    return Addends.of(rows).sums()


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
    return over << (UNIT_BITS + 1 - under.bit_length())
