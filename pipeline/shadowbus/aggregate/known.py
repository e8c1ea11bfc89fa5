"""What a source partition knows of a trial beside its totals: which segments, classes and features are kept apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shadowbus.aggregate.names import Classes, Names
from shadowbus.aggregate.segments import Segments
from shadowbus.aggregate.terms import Terms
from shadowbus.aggregate.timings import Timings
from shadowbus.aggregate.troubles import Troubles

MOST_CLASSES = 20
MOST_FEATURES = 100


@dataclass(slots=True)
class Known:
    """The names of one trial as one source partition has seen them, and what kind of answers it has."""

    kind: str
    segments: Segments
    classes: Classes
    features: Names
    costs: Mapping[tuple[str, str], float]
    troubles: Troubles = field(default_factory=Troubles)
    timings: Timings = field(default_factory=Timings)
    began_ms: int | None = None  # as `Windows.began` has it; None before the first record
    budget_ms: float | None = None
    from_ms: int = 0  # the time of the first request of its span: outcomes of earlier ones are not of it

    @classmethod
    def of(cls, trial: str, terms: Terms, segments: Segments | None = None) -> Self:
        """Of a new trial, or of one whose segments are known already."""
        priced = frozenset(name for pair in terms.costs for name in pair)
        return cls(
            terms.kind_of(trial),
            Segments() if segments is None else segments,
            Classes(Names(MOST_CLASSES, priced)),
            Names(MOST_FEATURES),
            terms.costs,
            budget_ms=terms.budget_ms,
        )

    def to_record(self) -> dict[str, Any]:
        """What has to be kept so that names mean the same after a restart."""
        names = {"classes": self.classes.names.names[1:], "features": self.features.names[1:]}
        return {**names, **self.troubles.to_record(), **self.timings.to_record()}

    def keep(self, record: Mapping[str, Iterable[str]]) -> None:
        """Take it back."""
        self.classes.names.keep(record.get("classes", ()))
        self.features.keep(record.get("features", ()))
        self.troubles.keep(record)
        self.timings.keep(record)
