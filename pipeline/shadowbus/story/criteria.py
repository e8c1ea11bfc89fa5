"""The criteria of a verdict in words: what is asked, what was seen, what is still possible, and the limit."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shadowbus.story.fields import Table, number, words
from shadowbus.story.figures import FORMATS, between, counted
from shadowbus.verdict.criteria import CRITERIA
from shadowbus.verdict.criterion import Scale, Side, Wording

STATES = {"holds": "shown", "fails": "broken", "open": "open"}


WORDINGS = {
    **{rule.name: rule.wording for rule in CRITERIA},
    "requests": Wording("Enough requests", "count", "at least"),
    "labels": Wording("Enough labels", "count", "at least"),
    "vocabulary": Wording("Sides without a class in common", "count", "at most", "answer"),
    "learned": Wording("Right before it was bundled", "share", "at most", "label"),
    "running": Wording("Requests before it runs", "count", "at most", "request"),
    "books": Wording("Records unaccounted for", "count", "at most", "request"),
    "days": Wording("Enough days", "number", "at least", "request"),
    "cpu_ms_per_row": Wording("Processor time a request", "ms", "at most", "request"),
    "memory_mb": Wording("Memory, in MB", "number", "at most", "worker"),
    "coverage": Wording("Requests that have their label", "share", "limit", "compared request"),
}

OF_NUMBERS = {
    "accuracy": "Answers within the tolerance, compared with live",
    "accuracy_gain": "More answers within the tolerance than live",
    "loss": "Mean absolute error, compared with live",
}
"""Titles where answers are numbers: right is within the tolerance there, and the loss is the absolute error."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion as a person is told of it.

    Attributes:
        name: As in the verdict.
        title: In words.
        value: What was seen; None where nothing was.
        low: The lowest value that is still possible, None where that is not known.
        high: The highest.
        limit: What it is held against.
        state: `holds`, `fails` or `open`.
        unit: Of the four numbers: `share` (0 to 1), `points` (a difference of shares), `count`, `ms`, `number`.
        side: On which side of the limit it has to be.
        value_text: What was seen, with its unit.
        interval_text: What is still possible; empty where that is not known, or where it is simply counted.
        limit_text: The limit, as in `at most 0.30 %`.
        n: How many observations it rests on; None where the record does not say.
        basis_text: The same in words; empty where that is not known, or is what was counted.
        note: What the verdict adds.
    """

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    state: str
    unit: Scale
    side: Side
    value_text: str
    interval_text: str
    limit_text: str
    note: str
    n: int | None
    basis_text: str

    @property
    def sentence(self) -> str:
        """All of it in one line.

        >>> read({"name": "error_rate", "value": 0.0, "low": 0.0, "high": 0.0024, "limit": 0.003, "state": "holds"})[
        ...     0
        ... ].sentence
        'Requests it fails on: 0 % (between 0 % and 0.24 %), has to be at most 0.30 %'
        """
        told = "; ".join(filter(None, (self.interval_text, self.basis_text)))
        interval = f" ({told})" if told else ""
        limit = f", has to be {self.limit_text}" if self.limit_text else ""
        return f"{self.title}: {self.value_text}{interval}{limit}"

    @property
    def guards(self) -> str:
        """The segment that it speaks of; empty for all requests."""
        return self.name.partition(":")[2]


def read(*criteria: object, numbers: bool = False) -> tuple[Criterion, ...]:
    """The criteria of a verdict record; what is none is left out. `numbers`: whether answers are numbers."""
    return tuple(_criterion(one, OF_NUMBERS if numbers else {}) for one in _tables(criteria))


def in_words(note: str) -> str:
    """A sentence of a verdict, with the names of criteria as they are told.

    >>> in_words("SEND BACK for error_rate, at the present rates.")
    'SEND BACK for "requests it fails on", at the present rates.'
    """
    return _NAMES.sub(lambda found: f'"{lowered(WORDINGS[found[0]].title)}"', note)


def lowered(title: str) -> str:
    """A title inside of a sentence."""
    return title[:1].lower() + title[1:]


_NAMES = re.compile(r"\b(?<!:)(error_rate|over_budget|slower_than_control|accuracy_gain|cpu_ms_per_row|memory_mb)\b")
"""Names that are not words of the language."""


def _tables(criteria: Iterable[object]) -> Iterable[Table]:
    return (one for one in criteria if isinstance(one, Mapping) and words(one, "name"))


def _criterion(record: Table, titles: Mapping[str, str]) -> Criterion:
    name, state = words(record, "name"), words(record, "state")
    value, low, high, limit = (number(record, key) for key in ("value", "low", "high", "limit"))
    wording = _wording(name, value, limit, state, titles)
    write = FORMATS[wording.unit]
    simple = wording.unit == "count"
    return Criterion(
        name=name,
        title=wording.title,
        value=value,
        low=low,
        high=high,
        limit=limit,
        state=state if state in STATES else "open",
        unit=wording.unit,
        side=wording.side,
        value_text=write(value),
        interval_text="" if simple or value is None or low == value == high else between(low, high, wording.unit),
        limit_text="" if limit is None else f"{wording.side} {write(limit)}".removeprefix("limit "),
        note=words(record, "note"),
        n=None if (n := number(record, "n")) is None else int(n),
        basis_text="" if n is None or not wording.of else f"from {counted(n, wording.of)}",
    )


def _wording(name: str, value: float | None, limit: float | None, state: str, titles: Mapping[str, str]) -> Wording:
    """How to speak of it; of a criterion that has no wording, the side is the one that its state shows."""
    kind, _, segment = name.partition(":")
    if kind in WORDINGS:
        known, title = WORDINGS[kind], titles.get(kind, WORDINGS[kind].title)
        return replace(known, title=f"{title}, where {segment}" if segment else title)
    side: Side = "limit"
    if value is not None and limit is not None and value != limit and state in ("holds", "fails"):
        side = "at least" if (value > limit) == (state == "holds") else "at most"
    title = kind.replace("_", " ").capitalize()
    return Wording(f"{title}, where {segment}" if segment else title, "number", side, "observation")
