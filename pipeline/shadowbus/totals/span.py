"""Spans of a trial: what was counted by one gate. When that changes, a new span begins, and nothing is mixed.

A source partition begins a span of its own, with the first comparison that was written after a worker with another gate
had started. The span is part of the partial of the whole trial, so it begins in the transaction of that comparison and
is what it was after a crash. Whoever merges takes the partials of one gate; of the others only that they were counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from shadowbus.errors import Malformed
from shadowbus.gates import Gate
from shadowbus.records import Partial, Verdict
from shadowbus.settings import Settings
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.totals import Totals
from shadowbus.trials import shadow_of


class Gates:
    """What a worker's settings say of trials.

    Args:
        settings: The settings.
        since_ms: When the worker that has read them started. Of two workers with other settings the later one counts.
    """

    def __init__(self, settings: Settings, since_ms: int = 0) -> None:
        self.settings, self.since_ms, self.definitions = settings, since_ms, MetricDefinitions.of(settings)
        self._known: dict[str, Gate] = {}

    def of(self, trial: str) -> Gate | None:
        """The gate of a trial; None where its shadow was removed from the settings."""
        shadow = shadow_of(trial)
        if self.settings.without_shadow(shadow):
            return None
        if shadow not in self._known:
            self._known[shadow] = Gate.of(self.settings, shadow)
        return self._known[shadow]

    def definitions_of(self, trial: str, gate: Gate | None) -> MetricDefinitions:
        """On what terms a trial is counted by a gate, which may be one of before, or another worker's."""
        mine = self.of(trial)
        if gate is None or (mine is not None and mine.hash == gate.hash):
            return self.definitions
        return MetricDefinitions.of(gate.applied(self.settings))


@dataclass(slots=True)
class GateSpan:
    """One span of a trial in one source partition.

    Attributes:
        gate: By which it is counted; None where an older release has not said so.
        number: The first one is 1.
        since_ms: When the worker that began it had started.
        began_ms: When its first comparison was counted; 0 of the first span.
        from_ms: The time of its first request: outcomes of earlier ones are not of this span.
        changed: What is other than in the span before, in words.
        first_offsets: By topic the offset of its first record.
        before: Comparisons by status that came before it, which the books need, and their highest running number.
        number_before: That one.
        elsewhere: Whether this source partition has counted nothing by the gate of the others.
    """

    gate: Gate | None = None
    number: int = 1
    since_ms: int = 0
    began_ms: int = 0
    from_ms: int = 0
    changed: list[str] = field(default_factory=list)
    first_offsets: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    number_before: int = 0
    elsewhere: bool = False

    def due(self, mine: Gate | None, since_ms: int) -> bool:
        """Whether a worker with this gate, which started then, has to begin another one."""
        return mine is not None and self.gate is not None and mine.hash != self.gate.hash and since_ms > self.since_ms

    def next(self, gate: Gate, since_ms: int, totals: Totals) -> "GateSpan":
        """The one that begins after these totals were counted."""
        changed = gate.changes(self.gate) if self.gate is not None else []
        before, number = self.all_of(totals)
        return GateSpan(gate, self.number + 1, since_ms, changed=changed, before=before, number_before=number)

    def all_of(self, totals: Totals) -> tuple[dict[str, int], int]:
        """Comparisons by status, in all spans, and the highest running number."""
        return dict(Counter(self.before) + Counter(totals.statuses)), max(self.number_before, totals.number)

    def to_record(self) -> dict[str, Any]:
        """The form in the partial of a whole trial; empty fields are left out."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "gate"}
        tables = {} if self.gate is None else {"gate": dict(self.gate.tables)}
        return {**tables, **{name: value for name, value in plain.items() if value or name == "number"}}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it back.

        Raises:
            Malformed: It is no span.
        """
        gate = Gate.from_record(record["gate"]) if "gate" in record else None
        found = cls(gate, **{name: record[name] for name in cls.__slots__ if name in record and name != "gate"})
        numbers = (found.number, found.since_ms, found.began_ms, found.from_ms, found.number_before)
        counts = (*_values(found.first_offsets), *_values(found.before))
        if any(type(one) is not int or one < 0 for one in (*numbers, *counts)) or type(found.changed) is not list:
            raise Malformed("its 'span' cannot be read")
        return found


def _values(table: object) -> list[object]:
    return list(table.values()) if isinstance(table, dict) else [None]


def of_one_gate(partials: Sequence[Partial]) -> list[Partial]:
    """The partials of a whole trial as one gate sees them: those of another one stand for nothing but their number.

    Of several gates it is the one whose worker started last.
    """
    spans = [GateSpan.from_record(partial.span) for partial in partials]
    gated = [(span.since_ms, span.number, span.gate.hash) for span in spans if span.gate is not None]
    if not gated:
        return list(partials)
    now = max(gated)[-1]
    pairs = zip(partials, spans, strict=True)
    return [one if span.gate is None or span.gate.hash == now else _emptied(one, span) for one, span in pairs]


def _emptied(partial: Partial, span: GateSpan) -> Partial:
    before, number = span.all_of(Totals.from_record(partial.totals))
    return replace(
        partial,
        totals=Totals().to_record(),
        names={},
        noise={},
        beginning={},
        first_offsets=dict(partial.next_offsets),
        span=GateSpan(number=span.number, before=before, number_before=number, elsewhere=True).to_record(),
    )


def gate_of(partials: Sequence[Partial]) -> Gate | None:
    """The gate of partials of one gate; what in it only says how long to wait is as it was lately."""
    gated = [(one.updated_ms, -one.partition, one.span["gate"]) for one in partials if "gate" in one.span]
    return Gate.from_record(max(gated, key=lambda each: each[:2])[-1]) if gated else None


def told(partials: Sequence[Partial], gate: Gate, former: Mapping[str, Any] | None) -> dict[str, Any]:
    """The field `gate` of a verdict: which it is, and what changed when.

    Args:
        partials: Partials of one gate.
        gate: It.
        former: The verdict by the gate of before: `verdict`, `since_ms` and the `hash` of that gate.
    """
    spans = {one.partition: GateSpan.from_record(one.span) for one in partials}
    counting = [span for span in spans.values() if not span.elsewhere]
    last = max(counting, key=lambda span: (span.number, -span.began_ms), default=GateSpan())
    out = sorted(partition for partition, span in spans.items() if span.elsewhere)
    changed = {"changed_ms": last.began_ms, "changed": last.changed} if last.number > 1 else {}
    return {
        "hash": gate.hash,
        "settings": dict(gate.tables),
        "span": last.number,
        **changed,
        **({"elsewhere": out} if out else {}),
        **({"before": dict(former)} if former else {}),
    }


def carried(partials: Sequence[Partial]) -> dict[str, dict[str, Any]]:
    """What no topic says of the spans, by source partition; nothing where all are the first ones."""
    spans = {str(one.partition): {k: v for k, v in one.span.items() if k != "gate"} for one in partials}
    return {source: span for source, span in spans.items() if span.get("number", 1) != 1 or span.get("elsewhere")}


def by_another_gate(verdict: Verdict | None, gate: Gate) -> bool:
    """Whether a verdict that was published belongs to another gate."""
    return verdict is not None and verdict.gate.get("hash", gate.hash) != gate.hash
