"""Which segments, classes and features of a trial are kept apart, as one source partition has seen them.

A service that names something without end, such as a customer in a segment, must not fill the memory: names are kept
apart in the order in which they appear, up to a limit, and all later ones count as `(other)`, or `name=other` for a
segment. Merging totals cuts nothing, so it stays a sum; a summary shows the most frequent names. Windows are kept for
the first `MOST_WINDOWED` segments only, as there are hundreds of windows for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from shadowbus.aggregate.failures import Failures
from shadowbus.aggregate.names import NameCodes
from shadowbus.aggregate.paired_timings import Timings
from shadowbus.compare.class_name import class_name
from shadowbus.totals.definitions import (
    MOST_CLASSES,
    MOST_FEATURES,
    MOST_SEGMENT_NAMES,
    MOST_SEGMENTS,
    MetricDefinitions,
)
from shadowbus.totals.key import ALL

MOST_WINDOWED = 20
MOST_SPELLINGS = 1_000
LONGEST = 100
OTHER_VALUE = "other"


@dataclass(slots=True)
class Segments:
    """The segments of one trial as one source partition has seen them, in the order of their appearance.

    >>> segments = Segments()
    >>> segments.text("country", "DE"), segments.text("premium", True), segments.text("tags", [1])
    ('country=DE', 'premium=true', '')
    """

    kept: dict[str, None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    known: dict[tuple[str, object], str] = field(default_factory=dict)
    windowed: set[str] = field(default_factory=lambda: {ALL})

    def text(self, name: str, value: object) -> str:
        """The segment of one value, `` for what cannot be one: not text, integer or boolean, too long, or with `|`."""
        if isinstance(value, bool):
            plain = "true" if value else "false"
        elif isinstance(value, str | int):
            plain = str(value)
        else:
            return ""
        if max(len(name), len(plain)) > LONGEST or "|" in name or "|" in plain or "=" in name:
            return ""
        text = f"{name}={plain}"
        if text in self.kept or (len(self.kept) < MOST_SEGMENTS and self._admit(text)):
            if isinstance(value, str):
                self.known[name, value] = text
            return text
        return f"{name}={OTHER_VALUE}" if name in self.names else ""

    def keep(self, text: str) -> None:
        """Remember a segment that was kept before."""
        if text != ALL and text not in self.kept:
            self._admit(text)

    def _admit(self, text: str) -> bool:
        name = text.partition("=")[0]
        if name not in self.names and len(self.names) >= MOST_SEGMENT_NAMES:
            return False
        self.names.add(name)
        self.kept[text] = None
        if len(self.windowed) <= MOST_WINDOWED:
            self.windowed.add(text)
        return True


@dataclass(slots=True)
class Classes:
    """Answers and labels as classes: whatever they look like, by the name of the class they stand for.

    >>> classes = Classes(NameCodes(20))
    >>> classes.code(True), classes.code("1"), classes.code(1.0), classes.code(None)
    (1, 1, 1, -1)
    """

    names: NameCodes
    texts: dict[object, str | None] = field(default_factory=dict)
    known: dict[object, int] = field(default_factory=lambda: {None: -1})

    def code(self, value: object) -> int:
        """The code of the class; -1 when the value names none."""
        try:
            return self.known[value]
        except (KeyError, TypeError):  # new, or a list
            return self._learn(value)

    def text(self, value: object) -> str | None:
        """The name of the class, even of one that is not kept."""
        try:
            return self.texts[value]
        except (KeyError, TypeError):
            text = class_name(value)
            if value.__class__ not in (list, dict) and len(self.texts) < MOST_SPELLINGS:
                self.texts[value] = text
            return text

    def _learn(self, value: object) -> int:
        text = class_name(value)
        code = -1 if text is None else self.names.code(text)
        if isinstance(value, str | int | float) and len(self.known) < MOST_SPELLINGS:
            self.known[value] = code
        return code


@dataclass(slots=True)
class Vocabulary:
    """The names of one trial as one source partition has seen them, and what kind of answers it has."""

    kind: str
    segments: Segments
    classes: Classes
    features: NameCodes
    costs: Mapping[tuple[str, str], float]
    failures: Failures = field(default_factory=Failures)
    timings: Timings = field(default_factory=Timings)
    began_ms: int | None = None  # as `Windows.began` has it; None before the first record
    budget_ms: float | None = None
    from_ms: int = 0  # when its span's first request came: outcomes of earlier requests are left out

    @classmethod
    def of(cls, trial: str, definitions: MetricDefinitions, segments: Segments | None = None) -> Self:
        """The vocabulary of a new trial, or of one whose segments were restored."""
        priced = frozenset(name for pair in definitions.costs for name in pair)
        return cls(
            definitions.kind_of(trial),
            Segments() if segments is None else segments,
            Classes(NameCodes(MOST_CLASSES, priced)),
            NameCodes(MOST_FEATURES),
            definitions.costs,
            budget_ms=definitions.budget_ms,
        )

    def to_record(self) -> dict[str, Any]:
        """What has to be kept so that names mean the same after a restart."""
        names = {"classes": self.classes.names.names[1:], "features": self.features.names[1:]}
        return {**names, **self.failures.to_record(), **self.timings.to_record()}

    def keep(self, record: Mapping[str, Iterable[str]]) -> None:
        """Take it back."""
        self.classes.names.keep(record.get("classes", ()))
        self.features.keep(record.get("features", ()))
        self.failures.keep(record)
        self.timings.keep(record)
