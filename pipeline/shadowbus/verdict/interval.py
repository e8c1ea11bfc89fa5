"""An interval, and the search for where one ends.

What comes in is a yes-or-no question that changes its answer once between two points; what goes out is the point of the
change, rounded to the side that makes an interval wider, never narrower.
"""

from collections.abc import Callable
from dataclasses import dataclass

ABSOLUTE = 1e-12
RELATIVE = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """The values that are still possible, from `low` to `high`, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def edge(inside: float, outside: float, excluded: Callable[[float], bool]) -> float:
    """The excluded point next to the edge of a set, by bisection between a member and a bound of what can be.

    Args:
        inside: A point of the set.
        outside: The bound; returned as it is when nothing before it is excluded.
        excluded: Whether a point is outside the set; once it is, so is every point further out.

    Returns:
        A point at or beyond the edge, by at most a billionth of its size.

    >>> round(edge(0.0, 1.0, lambda point: point > 0.25), 6)
    0.25
    >>> edge(0.0, 1.0, lambda point: False)
    1.0
    """
    while abs(outside - inside) > ABSOLUTE + RELATIVE * min(abs(inside), abs(outside)):
        middle = (inside + outside) / 2
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside
