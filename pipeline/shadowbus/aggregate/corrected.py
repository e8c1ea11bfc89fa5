"""Moments of values of which some are taken back later, because the label they rest on was corrected."""

from dataclasses import dataclass, field
from typing import Any, Self

from shadowbus.aggregate.moments import Moments


@dataclass(slots=True)
class Corrected:
    """All values that were ever added, and apart from them those that were taken back again.

    Both only grow, and what is left is their difference, which is exact as they are.

    >>> import numpy as np
    >>> some = Corrected(Moments.of(np.array([1.0, 2.0, 6.0])))
    >>> some.absorb(Corrected(taken=Moments.of(np.array([6.0]))))
    >>> some.n, some.mean, some.m2
    (2, 1.5, 0.5)
    """

    given: Moments = field(default_factory=Moments)
    taken: Moments = field(default_factory=Moments)

    @property
    def left(self) -> Moments:
        """The moments of what was not taken back."""
        return self.given - self.taken if self.taken.n else self.given

    @property
    def n(self) -> int:
        """How many values are left."""
        return self.given.n - self.taken.n

    @property
    def mean(self) -> float:
        """Their weighted mean."""
        return self.left.mean

    @property
    def m2(self) -> float:
        """The sum of their squared deviations from it."""
        return self.left.m2

    @property
    def weight(self) -> float:
        """The sum of their weights."""
        return self.left.weight

    def absorb(self, other: "Corrected") -> None:
        """Add the other's values to these; the other stays as it is."""
        if other.given.n:
            self.given = self.given + other.given
        if other.taken.n:
            self.taken = self.taken + other.taken

    def __bool__(self) -> bool:
        return bool(self.given.n or self.taken.n)

    def to_record(self) -> dict[str, Any]:
        """As they stand in a partial."""
        taken = {"taken": self.taken.to_record()} if self.taken.n else {}
        return {**self.given.to_record(), **taken}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back."""
        taken = record.get("taken")
        return cls(Moments.from_record(record), Moments() if taken is None else Moments.from_record(taken))
