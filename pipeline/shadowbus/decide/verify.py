"""A verdict worked out again from the comparisons, outcomes and vitals it rests on, not from any partial. Pure.

In: the records in the offset ranges of its evidence, in whatever batches, in order within a partition. Out: the verdict
that follows from them. They go through the folds the aggregate uses and through the same decision, so that one that is
told truly is the same, byte for byte. Taken from the verdict itself is only what no topic holds: what was seen on a
clock, what stood before, and which names were kept apart where there are too many of them.
"""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.paired_timings import paired
from shadowbus.aggregate.vocabulary import Segments, Vocabulary
from shadowbus.decide.decision import OBSERVED, Seen, decided_again
from shadowbus.decide.evidence import merged
from shadowbus.decide.reconciliation import books_of
from shadowbus.errors import Malformed
from shadowbus.gates import Gate
from shadowbus.records import Partial, Verdict, parse_object
from shadowbus.records.published import ranges_of
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import ALL, COUNTED, Key
from shadowbus.totals.noise_floor import NoiseFloor, controls_of
from shadowbus.totals.span import GateSpan
from shadowbus.totals.totals import Totals


@dataclass(slots=True)
class _Source:
    """What one source partition counts: totals and names of the trial and of the controls beside it."""

    totals: dict[Key, Totals] = field(default_factory=dict)
    known: dict[str, Vocabulary] = field(default_factory=dict)
    vitals: dict[str, Any] | None = None


class Recount:
    """Takes the records that a verdict rests on, and says what follows from them.

    Args:
        verdict: The record to be worked out again, with the gate that it belongs to.
        settings: All else that it depends on.

    Raises:
        Malformed: Its evidence is not what it has to be.
    """

    def __init__(self, verdict: Verdict, settings: Settings) -> None:
        self.gate = Gate.from_record(verdict.gate.get("settings"))
        self.verdict, self.settings = verdict, settings
        self.terms = MetricDefinitions.of(self.gate.applied(settings))
        self.ranges: dict[Input, tuple[int, int]] = {
            (topic, int(partition)): bounds
            for topic, ranges in ranges_of(verdict.evidence).items()
            for partition, bounds in ranges.items()
        }
        self.clocks, self.full = _objects(verdict, "clocks"), _objects(verdict, "full")
        self.spans = {source: GateSpan.from_record(span) for source, span in _objects(verdict, "spans").items()}
        counting = sorted({partition for topic, partition in self.ranges if topic != "vitals"})
        self.sources = {partition: _Source() for partition in counting}
        self.taken = dict.fromkeys((*COUNTED, "vitals"), 0)

    def take(self, piece: RecordBatch) -> None:
        """Take records of one partition of one input, all of them within its range."""
        self.taken[piece.topic] += len(piece.offsets)
        source = self.sources.setdefault(piece.partition, _Source())
        if piece.topic == "vitals":
            source.vitals = parse_object(piece.values[-1])
            return
        first = self.spans.get(str(piece.partition), GateSpan()).first_offsets.get(piece.topic, 0)
        own = bisect_left(piece.offsets, first)  # records of the span before lie between those of the control
        for part, skipped in ((piece.part(0, own), self.verdict.trial), (piece.part(own), "")):
            self._fold(part, source, skipped)

    def _fold(self, piece: RecordBatch, source: _Source, skipped: str) -> None:
        if not piece.offsets:
            return
        folded = fold(piece, lambda trial: self._known(source, piece.partition, trial, skipped), self.terms)
        for key, part in folded.totals.items():
            if key.window == ALL:
                source.totals.setdefault(key, Totals()).absorb(part)
        known = source.known
        for trial, part in paired(folded.timed, known, lambda one: known[one].timings, self.terms.controls).items():
            source.totals[Key(trial)].absorb(part)

    def result(self) -> Verdict:
        """What follows from the records taken.

        Raises:
            Malformed: The evidence is not what it has to be.
        """
        partials: dict[str, list[Partial]] = {}
        segments: dict[int, list[str]] = {}
        vitals: dict[int, dict[str, Any]] = {}
        for number, source in sorted(self.sources.items()):
            if str(number) in self.spans:
                source.totals.setdefault(Key(self.verdict.trial), Totals())
            for key, totals in source.totals.items():
                if key.trial == self.verdict.trial:
                    partials.setdefault(key.segment, []).append(self._partial(number, source, key, totals))
                    segments.setdefault(number, []).extend([key.segment] if key.segment != ALL else [])
            if source.vitals is not None:
                vitals[number] = self._vitals(number, source.vitals)
        whole = {name: merged(some) for name, some in partials.items()}
        seen = Seen(self.verdict.trial, partials.get(ALL, []), whole, vitals, segments)
        return decided_again(seen, books_of(seen.trial, seen.partials, vitals), self.settings, self.verdict)

    def _known(self, source: _Source, number: int, trial: str, skipped: str) -> Vocabulary:
        """Of the trial and of its controls only; the records of others are refused, and so left out."""
        known = source.known.get(trial)
        if trial == skipped:
            raise Malformed("it is of the span before")
        if known is None:
            if trial == self.verdict.trial:
                full = self.full.get(str(number), {})
                segments = Segments()
                for text in full.get("segments", ()):
                    segments.keep(text)
                known = Vocabulary.of(trial, self.terms, segments)
                known.classes.names.keep(full.get("classes", ()))
                known.from_ms = self.spans.get(str(number), GateSpan()).from_ms
            elif controls_of(self.verdict.trial, [trial], self.terms.controls):
                known = Vocabulary.of(trial, self.terms)
            else:
                raise Malformed("it is of another trial")
            source.known[trial] = known
        return known

    def _partial(self, number: int, source: _Source, key: Key, totals: Totals) -> Partial:
        """As the aggregate would have written it."""
        bounds = {topic: self.ranges[topic, number] for topic in COUNTED if (topic, number) in self.ranges}
        controls = controls_of(key.trial, sorted(source.known), self.terms.controls)
        return Partial(
            *key,
            number,
            next_offsets={topic: after for topic, (_, after) in bounds.items()},
            totals=orjson.loads(orjson.dumps(totals.to_record())),
            updated_ms=int(self.clocks.get(str(number), {}).get("updated_ms", 0)),
            names=source.known[key.trial].to_record() if key.trial in source.known else {},
            noise=NoiseFloor.of(source.totals.get(Key(control), Totals()) for control in controls).to_record(),
            first_offsets={topic: first for topic, (first, _) in bounds.items()},
            span=self._span(number),
        )

    def _span(self, number: int) -> dict[str, Any]:
        span = self.spans.get(str(number), GateSpan())
        return (span if span.elsewhere else replace(span, gate=self.gate)).to_record()

    def _vitals(self, number: int, record: dict[str, Any]) -> dict[str, Any]:
        clocks = self.clocks.get(str(number), {})
        notes = {name: clocks[name] for name in OBSERVED if name in clocks}
        return {**record, "next_offsets": {"vitals": self.ranges["vitals", number][1]}, **notes}


def _objects(verdict: Verdict, name: str) -> dict[str, dict[str, Any]]:
    found = verdict.evidence.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise Malformed(f"the evidence's '{name}' has to be an object of objects")
    return found
