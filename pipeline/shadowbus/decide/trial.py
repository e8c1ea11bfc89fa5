"""What a board knows of one trial beside its partials: which there are, which were not published yet, what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowbus.decide.claims import newer
from shadowbus.totals.key import ALL, VITALS, Key
from shadowbus.totals.totals import Totals

MOST_LOOKS = 60
"""So often a commit may be found half read before that is a fault; the rest of it comes within milliseconds."""

HALF_READ = (
    "Partials of its segments count further than the one of the whole trial, which a commit writes last: something "
    "else than the aggregate has written them. It goes on when the aggregate has counted as far."
)


@dataclass(slots=True)
class TrialState:
    """One trial.

    Attributes:
        sources: Its keys, with the source partitions they came from.
        whole: Merged totals of the whole trial, by segment.
        changed: What was not published since it changed.
        reached: By source partition, how far any of its partials counts.
        closed: And how far that of the whole trial does, which is written last in each commit.
        refused: Why a record of it was set aside, until its next partial of the whole.
        fault: Why it could not be decided when that was tried last; empty where it was.
        tried: Whether all that has come since was tried already, in vain.
        looks: How often in a row it was not whole.
        gate: The hash of the gate by which it was merged last, and the source partitions that count by another one.
    """

    sources: dict[Key, set[int]] = field(default_factory=dict)
    whole: dict[str, Totals] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    reached: dict[int, dict[str, int]] = field(default_factory=dict)
    closed: dict[int, dict[str, int]] = field(default_factory=dict)
    refused: str = ""
    fault: str = ""
    tried: bool = False
    looks: int = 0
    gate: tuple[str, frozenset[int]] = ("", frozenset())

    def note(self, key: Key, source: int, offsets: Mapping[str, int] | None) -> None:
        """A key changed; without offsets it is gone."""
        sources = self.sources.setdefault(key, set())
        self.changed.add(key)
        self.tried = False
        if offsets is None:
            sources.discard(source)
            if key == Key(key.trial):
                self.reached.pop(source, None)
                self.closed.pop(source, None)
        else:
            sources.add(source)
        if key.segment == VITALS:
            self.changed.add(Key(key.trial))  # its books are the trial's
        elif offsets is not None:
            reached = self.reached.setdefault(source, {})
            reached.update({topic: max(offset, reached.get(topic, 0)) for topic, offset in offsets.items()})
            if key == Key(key.trial):
                self.closed[source], self.refused = dict(offsets), ""

    def refuse(self, trial: str, why: str) -> None:
        """A record of it was set aside."""
        self.refused, self.tried = why, False
        self.changed.add(Key(trial))

    def forget(self, key: Key, source: int) -> None:
        """What was known under a key of one source partition was wrong."""
        self.sources.get(key, set()).discard(source)
        self.reached.pop(source, None)
        if key == Key(key.trial):
            self.closed.pop(source, None)
        self.changed.add(key)

    def drop(self, key: Key, *, wholly: bool = True) -> None:
        """Nothing is left under a key, or nothing that counts."""
        if wholly:
            self.sources.pop(key, None)
        if key.window == ALL:
            self.whole.pop(key.segment, None)

    @property
    def is_whole(self) -> bool:
        """Whether all that belongs to the newest commits has come."""
        return all(newer(self.closed.get(source, {}), offsets) for source, offsets in self.reached.items())

    def look(self) -> bool:
        """Whether there is anything to publish: something changed, and all of it has come, or never will."""
        if not self.changed or self.tried:
            return False
        self.looks = 0 if self.is_whole else self.looks + 1
        return bool(self.refused) or self.looks in (0, MOST_LOOKS)

    def segments(self) -> dict[int, list[str]]:
        """By source partition the segments that are kept apart."""
        found: dict[int, list[str]] = {}
        for key, sources in self.sources.items():
            if key.window == ALL and key.segment not in (ALL, VITALS):
                for source in sources:
                    found.setdefault(source, []).append(key.segment)
        return found
