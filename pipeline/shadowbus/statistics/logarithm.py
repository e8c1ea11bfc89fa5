"""The natural logarithm, the same to the last bit on every processor and with every build of numpy.

numpy and C libraries differ in the last bit between processors, and then so do sums. Here it is worked out with
additions, multiplications and divisions only, one after the other, which IEEE 754 rounds in one way.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROOT = 0.7071067811865476
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The logarithm of 2 in two parts; the first has so few digits that its multiples are exact."""

_SERIES = (
    *(1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01),
    *(2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01),
)
"""Of `(log(1 + s) - log(1 - s)) / s - 2` in the square of s, the highest power first, to within 2^-58."""


def log(numbers: Floats) -> Floats:
    """The logarithm of each number, within one unit in the last place; minus infinity of 0, NaN of what has none.

    The method of Ng & Bindel (FreeBSD's `e_log.c`, 1993): a power of two is split off, and of the rest `1 + f` between
    the roots of a half and of two the series of `log((1 + s) / (1 - s))` is summed, with `s = f / (2 + f)`.

    >>> log(np.array([1.0, 2.718281828459045, 0.0])).tolist()
    [0.0, 1.0, -inf]
    """
    numbers = np.asarray(numbers, np.float64)
    rest, powers = np.frexp(numbers)
    low = rest < _ROOT
    rest, k = np.where(low, 2.0 * rest, rest), np.where(low, powers - 1, powers).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        f = rest - 1.0
        s = f / (2.0 + f)
        z = s * s
        sums = np.zeros_like(z)
        for part in _SERIES:
            sums = sums * z + part
        half = 0.5 * f * f
        found = k * _LN2_HIGH - ((half - (s * (half + sums * z) + k * _LN2_LOW)) - f)
    return np.where(numbers > 0.0, np.where(np.isinf(numbers), np.inf, found), np.where(numbers == 0, -np.inf, np.nan))
