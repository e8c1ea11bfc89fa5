"""One trial as its partials tell it: the newest of each source partition, and what changed since the last decision.

In: partials that were checked. Out: all partials of one kind, and whether they are of whole commits of the aggregate.
Guaranteed: a partial that counts less far than the one that is kept changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.decide.claims import REPLAY, Claim, newer
from shadowbus.gates import Gate
from shadowbus.records import Partial, decode, parse_object
from shadowbus.totals.key import ALL, VITALS, Key
from shadowbus.totals.span import gate_of, of_one_gate
from shadowbus.totals.totals import Totals

MOST_LOOKS = 60
"""After so many looks at a commit that was read in part, that is a fault; the rest comes within milliseconds."""

NOT_MERGED = ("", frozenset[int]())
"""The `gate` of a trial of which everything is to be merged again."""

HALF_READ = (
    "Partials of its segments count further than the one of the whole trial, which a commit writes last: something "
    "else than the aggregate has written them. It goes on when the aggregate has counted as far."
)


@dataclass(slots=True)
class Trial:
    """One trial.

    Attributes:
        name: Its name.
        kept: The newest record of each key, by source partition, with how far it counts.
        whole: Merged totals of the whole trial, by segment; kept by whoever decides.
        changed: The keys that changed and were not looked at since.
        reached: By source partition, how far any of its partials counts.
        closed: And how far that of the whole trial does, which is written last in each commit.
        refused: Why a record of it was set aside, until its next partial of the whole.
        fault: Why it could not be decided when that was tried last; empty where it was.
        tried: Whether all that has come since was tried already, in vain.
        looks: How often in a row it was not whole.
        gate: The hash of the gate by which it was merged last, and the source partitions that count by another one.
    """

    name: str
    kept: dict[Key, dict[int, tuple[bytes, Mapping[str, int]]]] = field(default_factory=dict)
    whole: dict[str, Totals] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    reached: dict[int, dict[str, int]] = field(default_factory=dict)
    closed: dict[int, dict[str, int]] = field(default_factory=dict)
    refused: str = ""
    fault: str = ""
    tried: bool = False
    looks: int = 0
    gate: tuple[str, frozenset[int]] = NOT_MERGED

    def take(self, claim: Claim) -> bool:
        """Keep a record, or with no value forget what was kept; whether that changes anything."""
        key, source = claim.key, claim.source
        kept = self.kept.setdefault(key, {})
        if claim.value is None:
            kept.pop(source, None)
            if not kept:
                del self.kept[key]
            if key == Key(self.name):
                self.reached.pop(source, None)
                self.closed.pop(source, None)
        else:
            if source in kept and not newer(claim.offsets, kept[source][1]):
                return False
            kept[source] = (claim.value, claim.offsets)
            self._reaches(claim)
        if key.segment != VITALS:
            self.changed.add(key)
        elif Key(self.name) in self.kept or not self.kept:
            self.changed.add(Key(self.name))  # its books are the trial's
        self.tried = False
        return True

    def _reaches(self, claim: Claim) -> None:
        if claim.key.segment == VITALS:
            return
        reached = self.reached.setdefault(claim.source, {})
        reached.update({topic: max(offset, reached.get(topic, 0)) for topic, offset in claim.offsets.items()})
        if claim.key == Key(self.name):
            self.closed[claim.source], self.refused = dict(claim.offsets), ""

    def refuse(self, why: str) -> None:
        """A record of it was set aside."""
        self.refused, self.tried = why, False
        self.changed.add(Key(self.name))

    @property
    def empty(self) -> bool:
        """Whether nothing is left of it."""
        return not self.kept

    @property
    def is_whole(self) -> bool:
        """Whether all that belongs to the newest commits has come."""
        return all(newer(self.closed.get(source, {}), offsets) for source, offsets in self.reached.items())

    def look(self) -> bool:
        """Whether there is anything to decide: something changed, and all of it has come, or never will."""
        if not self.changed or self.tried:
            return False
        self.looks = 0 if self.is_whole else self.looks + 1
        return bool(self.refused) or self.looks in (0, MOST_LOOKS)

    def values(self, key: Key) -> dict[int, bytes]:
        """The newest record of a key by source partition, in their order."""
        return {source: value for source, (value, _) in sorted(self.kept.get(key, {}).items())}

    def vitals(self, stage: str = REPLAY) -> dict[int, dict[str, Any]]:
        """The newest vitals of a stage, by source partition."""
        return {source: parse_object(value) for source, value in self.values(Key(self.name, VITALS, stage)).items()}

    def segments(self) -> dict[int, list[str]]:
        """By source partition the segments that are kept apart."""
        found: dict[int, list[str]] = {}
        for key, sources in self.kept.items():
            if key.window == ALL and key.segment not in (ALL, VITALS):
                for source in sources:
                    found.setdefault(source, []).append(key.segment)
        return found


class Merging:
    """The partials of a trial that count by one gate, the newest.

    Args:
        trial: Its partials may not change meanwhile.

    Attributes:
        partials: Those of the whole trial, one for each source partition.
        gate: The one that they count by; None in those of an older release.
        elsewhere: The source partitions that count by another one, which are left out.
        keys: Those to merge again: what has changed, and all where the gate or `elsewhere` have.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.partials = of_one_gate([decode(Partial, value) for value in trial.values(Key(trial.name)).values()])
        self.elsewhere = frozenset(one.partition for one in self.partials if one.span.get("elsewhere"))
        self.gate: Gate | None = gate_of(self.partials)
        changed = trial.changed
        if self.gate is not None and trial.gate != (counted := (self.gate.hash, self.elsewhere)):
            changed, trial.gate = {*changed, *trial.kept}, counted
        self.keys = sorted(key for key in changed if key.segment != VITALS)

    def of(self, key: Key) -> list[Partial]:
        """The partials of one segment and window."""
        if key == Key(self.trial.name):
            return self.partials
        partials = [decode(Partial, value) for value in self.trial.values(key).values()]
        return [one for one in partials if one.partition not in self.elsewhere]

    def segments(self) -> dict[int, list[str]]:
        """By source partition the segments that are kept apart."""
        return {source: names for source, names in self.trial.segments().items() if source not in self.elsewhere}
