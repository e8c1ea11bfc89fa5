"""The noise floor: how often the control, a shadow that is the champion itself, gives another answer than the champion.

A source partition sees every trial's comparisons, so it writes beside the totals of each trial what it has counted of
the control of the same champion. Whoever merges the partials of one trial then has the floor too, whichever agent holds
the control's own partials.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from shadowbus.totals.totals import Totals
from shadowbus.trials import TrialName, shadow_of
from shadowbus.verdict.counts import Floor


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What was counted of the control: plain and weighted counts of compared answers and of those that differ.

    Merges by `+` with `NoiseFloor()` as identity.

    >>> (NoiseFloor(10, 10.0, 1.0) + NoiseFloor(30, 60.0, 3.0, 2.0)).floor
    Floor(compared=35.0, differ=2.0)
    """

    n: int = 0
    compared: float = 0.0
    differ: float = 0.0
    heaviest: float = 1.0

    @classmethod
    def of(cls, totals: Iterable[Totals]) -> Self:
        """The noise floor from the totals of the control's trials with one champion."""
        noise = cls()
        for one in totals:
            noise = noise + cls._of(one)
        return noise

    @classmethod
    def _of(cls, totals: Totals) -> Self:
        heaviest, scaled = totals.weights.heaviest_compared, totals.scaled()
        agreed, differ = scaled["agreed"] * heaviest, scaled["disagreed"] * heaviest
        return cls(totals.count("agreed") + totals.count("disagreed"), agreed + differ, differ, heaviest)

    @property
    def floor(self) -> Floor:
        """What the gate looks at: scaled so that no comparison counts for more than 1."""
        return Floor(self.compared / self.heaviest, self.differ / self.heaviest)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.n + other.n,
            self.compared + other.compared,
            self.differ + other.differ,
            max(self.heaviest, other.heaviest),
        )

    def to_record(self) -> dict[str, Any]:
        """The form in partials; empty where nothing was counted."""
        return {name: getattr(self, name) for name in self.__slots__} if self.n else {}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it back.

        Raises:
            KeyError, TypeError, ValueError: It is not noise.
        """
        if not record:
            return cls()
        sums = (float(record[name]) for name in ("compared", "differ", "heaviest"))
        return cls(int(record["n"]), *sums)


def controls_of(trial: str, trials: Iterable[str], controls: frozenset[str]) -> list[str]:
    """Of these trials those of a control with the same champion; none for a control's own trial.

    >>> controls_of("champion@3~new@1", ["champion@3~twin@3", "champion@2~twin@3"], frozenset({"twin"}))
    ['champion@3~twin@3']
    """
    if shadow_of(trial) in controls:
        return []
    champion, others = TrialName.parse(trial).live, {other: TrialName.parse(other) for other in trials}
    return sorted(other for other, name in others.items() if name.live == champion and name.shadow in controls)
