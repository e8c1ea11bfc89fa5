"""What a verdict rests on, and the verdict that follows from it. Pure.

The decide stage gets it from partials, `shadowbus verdict --verify` from the records that these were folded from; from
there on both go the same way. What no topic holds, because it was seen on a clock, the verdict's evidence holds: when
partials were written, and for how long books have said the same. So the same partials and the same previous verdict
give the same verdict, byte for byte, whoever works it out and whenever.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowbus.decide.evidence import evidence_of, noise_of
from shadowbus.decide.faults import stood
from shadowbus.gates import Gate
from shadowbus.records import Partial, PreviousVerdict, Verdict
from shadowbus.settings import GateSettings, Settings
from shadowbus.totals.definitions import MOST_CLASSES, MOST_SEGMENT_NAMES, MOST_SEGMENTS, MetricDefinitions
from shadowbus.totals.key import COUNTED
from shadowbus.totals.span import by_another_gate, carried, gate_of, told
from shadowbus.totals.totals import Totals
from shadowbus.trials import shadow_of
from shadowbus.verdict.gate import Evidence, Needed, decide
from shadowbus.verdict.learned import suspicious
from shadowbus.verdict.states import move

OBSERVED = ("claimed_since_ms", "behind", "written_ms")
"""What the aggregate has seen of a partition's books, by its clock and by where its inputs ended."""

NOTHING_MORE = Needed(0, 0, "")


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of a trial.

    Attributes:
        trial: Its name.
        partials: Those of the whole trial, one for each source partition, in their order, as one gate sees them.
        whole: The totals by segment.
        vitals: Replay's newest vitals by source partition, with what the aggregate has added.
        segments: By source partition the segments that are kept apart.
    """

    trial: str
    partials: Sequence[Partial]
    whole: Mapping[str, Totals]
    vitals: Mapping[int, Mapping[str, Any]]
    segments: Mapping[int, Iterable[str]]

    def gate(self, settings: Settings) -> Gate:
        """By which all of it is counted; of an older release's partials, which do not say, the one of the settings."""
        return gate_of(self.partials) or Gate.of(settings, shadow_of(self.trial))

    @property
    def as_of_ms(self) -> int:
        """When the newest of it was written."""
        return max((partial.updated_ms for partial in self.partials), default=0)


def decided(seen: Seen, books: Mapping[str, Any], settings: Settings, before: Verdict | None = None) -> Verdict:
    """The verdict on a trial.

    Args:
        seen: What is known of it.
        books: Its account books, from `books_of`.
        settings: All but the gate, which is the one that the trial is counted by.
        before: The verdict that was published last, from which this one follows.
    """
    former, previous = None if before is None else before.gate.get("before"), stood(before)
    if by_another_gate(before, seen.gate(settings)):
        former, previous = _former(before), None
    return _decided(seen, books, settings, previous, former)


def decided_again(seen: Seen, books: Mapping[str, Any], settings: Settings, verdict: Verdict) -> Verdict:
    """The same verdict on a trial, from the previous verdict that its record names."""
    return _decided(seen, books, settings, verdict.previous, verdict.gate.get("before"))


def _decided(
    seen: Seen, books: Mapping[str, Any], settings: Settings, previous: PreviousVerdict | None, former: object
) -> Verdict:
    gate = seen.gate(settings)
    settings = gate.applied(settings)
    evidence = evidence_of(
        seen.trial, seen.whole, books, MetricDefinitions.of(settings), noise_of(seen.partials), seen.vitals
    )
    gate_told = told(seen.partials, gate, former if isinstance(former, Mapping) else None)
    basis = _basis(seen, gate, _inputs(evidence))
    return verdict_of(evidence, settings.gate, books, seen.as_of_ms, previous, basis, gate_told)


def _former(before: Verdict | None) -> dict[str, Any] | None:
    """What stood by the gate of before."""
    stands = stood(before)
    if before is None or stands is None:
        return None
    return {"verdict": stands.verdict, "since_ms": stands.since_ms, "hash": before.gate.get("hash")}


def without_positions(verdict: Verdict) -> Verdict:
    """What of a verdict makes it worth to be published anew: not how far was read, and not what stood before."""
    evidence = {name: part for name, part in verdict.evidence.items() if name in ("models", "settings")}
    return dataclasses.replace(verdict, decided_ms=0, previous=None, note="", evidence=evidence)


def verdict_of(
    evidence: Evidence,
    gate: GateSettings,
    books: Mapping[str, Any],
    as_of_ms: int,
    previous: PreviousVerdict | None = None,
    basis: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict record of a trial.

    Args:
        evidence: What the gate looks at.
        gate: Its settings.
        books: The account books.
        as_of_ms: The time of the newest of the evidence.
        previous: What stood before; None where there was no verdict.
        basis: The record's field `evidence`.
        told: Its field `gate`.

    Raises:
        ValueError: What stood before is no verdict.
    """
    decision = decide(evidence, gate)
    taken = move(None if previous is None else previous.verdict, decision.verdict)
    stays = previous is not None and previous.verdict == taken.becomes
    return Verdict(
        trial=evidence.trial,
        verdict=taken.becomes,
        criteria=[dataclasses.asdict(criterion) for criterion in decision.criteria],
        requests=decision.requests,
        labels=decision.labels,
        needed=dataclasses.asdict(NOTHING_MORE if taken.refused else decision.needed),
        decided_ms=as_of_ms,
        books=dict(books),
        shown=decision.verdict,
        since_ms=previous.since_ms if previous is not None and stays else as_of_ms,
        previous=previous,
        note=taken.note,
        evidence=dict(basis or {}),
        control=evidence.control,
        training=_training(evidence),
        obstacles=[one.to_record() for one in decision.obstacles],
        gate=dict(told or {}),
    )


def _training(evidence: Evidence) -> dict[str, object]:
    """The record's field `training`: until when the model was trained, and what of the evidence is from before."""
    counts, cutoff, seen = evidence.counts, evidence.cutoff, evidence.learned
    learned: dict[str, object] = {}
    if suspicious(evidence):
        right = {"right_before": seen.right_before / seen.before, "right_after": seen.right_after / seen.after}
        learned = {**right, "suspicious": seen.counted}
    if cutoff is None and not learned and not counts.requests_before + counts.labels_before:
        return {}
    told = {} if cutoff is None else {"until_ms": cutoff.until_ms, "from": cutoff.source}
    return {**told, "requests_before": counts.requests_before, "labels_before": counts.labels_before, **learned}


def _basis(seen: Seen, gate: Gate, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The field `evidence` of a verdict, as docs/verdict.md explains it."""
    models = [model for record in seen.vitals.values() if isinstance(model := record.get("model"), Mapping)]
    basis: dict[str, Any] = {
        "offsets": _offsets(seen),
        "clocks": _clocks(seen),
        "models": sorted({str(model["sha256"]) for model in models if "sha256" in model}),
        "settings": gate.digests,
        "inputs": inputs,
    }
    full = {str(one.partition): names for one in seen.partials if (names := _full(one, seen.segments))}
    spans = carried(seen.partials)
    return {**basis, **({"full": full} if full else {}), **({"spans": spans} if spans else {})}


def _offsets(seen: Seen) -> dict[str, dict[str, tuple[int, int]]]:
    found: dict[str, dict[str, tuple[int, int]]] = {topic: {} for topic in COUNTED}
    for partial in seen.partials:
        for topic, after in partial.next_offsets.items():
            first = partial.first_offsets.get(topic, after)
            found.setdefault(topic, {})[str(partial.partition)] = (int(str(first)), int(str(after)))
    after = {source: record["next_offsets"].get("vitals", 1) for source, record in sorted(seen.vitals.items())}
    return {**found, "vitals": {str(source): (offset - 1, offset) for source, offset in after.items()}}


def _clocks(seen: Seen) -> dict[str, dict[str, Any]]:
    updated = {partial.partition: partial.updated_ms for partial in seen.partials}
    clocks: dict[str, dict[str, Any]] = {}
    for source in sorted(updated.keys() | seen.vitals.keys()):
        record = seen.vitals.get(source, {})
        notes = {name: record[name] for name in OBSERVED if name in record}
        clocks[str(source)] = {**({"updated_ms": updated[source]} if source in updated else {}), **notes}
    return clocks


def _full(partial: Partial, segments: Mapping[int, Iterable[str]]) -> dict[str, list[str]]:
    """The names kept apart in a source partition, of the kinds where no more are admitted.

    Which ones those are depends on what was read first, of comparisons and outcomes. What is counted under each name
    then does not.
    """
    found: dict[str, list[str]] = {}
    kept = sorted(segments.get(partial.partition, ()))
    if len(kept) >= MOST_SEGMENTS or len({text.partition("=")[0] for text in kept}) >= MOST_SEGMENT_NAMES:
        found["segments"] = kept
    classes = partial.names.get("classes")
    if isinstance(classes, list) and len(classes) >= MOST_CLASSES:
        found["classes"] = sorted(classes)
    return found


def _inputs(evidence: Any) -> dict[str, Any]:
    """What the gate looked at, without what stands at its default."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(evidence):
        value = _shown(getattr(evidence, field.name))
        default = field.default_factory() if callable(field.default_factory) else field.default
        if field.name not in ("trial", "books_gap", "books_note") and value != default:
            found[field.name] = value
    return found


def _shown(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _inputs(value)
    if isinstance(value, Mapping):
        return {str(name): shown for name, one in value.items() if (shown := _shown(one)) not in ({}, None)}
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    return value
