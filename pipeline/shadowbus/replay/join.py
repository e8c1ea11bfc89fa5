"""Halves of one partition that wait for their other half. Pure: no Kafka, no clock.

In: requests and predictions, in any order, late, twice or never. Out: pairs, each id once; what expired alone; what was
there before. Changes of what waits are noted, so that they can be kept in the changelog.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shadowbus.replay.live import Live

REQUEST, PREDICTION = b"r", b"p"
"""Marks a changelog key with the side whose half it keeps."""

Unmatched = tuple[bytes, int, int, Live | None]
"""A raw value, since when it waits (milliseconds since the epoch), the offset it came from, and for a prediction what
was read from it (None after a restore)."""

Met = Unmatched | Literal[False] | None
"""What came of taking a half."""


@dataclass(slots=True)
class AnsweredIds:
    """Ids that were answered, so that a second half of them is known as a duplicate: the last n to 2n ids.

    Ids are kept in two generations; when the newer is full, the older is forgotten. `entries` names the changelog
    records that hold them, oldest first.
    """

    most: int
    newer: set[bytes] = field(default_factory=set)
    older: set[bytes] = field(default_factory=set)
    newer_entries: list[bytes] = field(default_factory=list)
    older_entries: list[bytes] = field(default_factory=list)

    def __contains__(self, key: bytes) -> bool:
        return key in self.newer or key in self.older

    def note(self, entry: bytes) -> list[bytes]:
        """A changelog record now holds the newest ids; returns the records that hold only forgotten ones."""
        self.newer_entries.append(entry)
        if len(self.newer) < self.most:
            return []
        forgotten = self.older_entries
        self.older, self.older_entries = self.newer, self.newer_entries
        self.newer, self.newer_entries = set(), []
        return forgotten


class Join:
    """One partition's waiting halves.

    Args:
        remember: How many answered ids to remember at least.
    """

    def __init__(self, remember: int) -> None:
        self.requests: dict[bytes, Unmatched] = {}
        self.predictions: dict[bytes, Unmatched] = {}
        self.answered = AnsweredIds(remember)
        self.changes: dict[bytes, Unmatched | None] = {}
        self.fresh: list[bytes] = []

    def meet(self, requests: Sequence[bytes], predictions: Sequence[bytes]) -> set[bytes]:
        """Let the ids meet of which both halves are here, once each, and that were never seen before.

        Does for them what `take` would do, all at once. The others have to be taken.
        """
        first, second = set(requests), set(predictions)
        if len(first) < len(requests) or len(second) < len(predictions):
            return set()
        met = first & second
        answered = self.answered
        for known in (answered.newer, answered.older, self.requests.keys(), self.predictions.keys()):
            if not known.isdisjoint(met):
                met -= known & met
        answered.newer |= met
        self.fresh += met
        return met

    def take(self, side: bytes, keys: Iterable[bytes], halves: Iterable[Unmatched]) -> list[Met]:
        """Take halves of one side.

        Returns:
            For each the other half if that waits; None if this one has to wait now; False for a duplicate.
        """
        mine, others = self.requests, self.predictions
        if side == PREDICTION:
            mine, others = others, mine
        other_side = PREDICTION if side == REQUEST else REQUEST
        answered, changes, met = self.answered, self.changes, list[Met]()
        newer, fresh = answered.newer, self.fresh
        for key, half in zip(keys, halves, strict=True):
            other = others.pop(key, None)
            if other is not None:
                newer.add(key)
                fresh.append(key)
                if changes.pop(other_side + key, None) is None:
                    changes[other_side + key] = None
                met.append(other)
            elif key in mine or key in answered:
                met.append(False)
            else:
                mine[key] = changes[side + key] = half
                met.append(None)
        return met

    def expired(self, side: bytes, before_ms: int) -> Iterator[tuple[bytes, Unmatched]]:
        """Take out the halves of one side that wait since before a moment, oldest first."""
        halves = self.requests if side == REQUEST else self.predictions
        while halves:
            key = next(iter(halves))
            half = halves[key]
            if half[1] >= before_ms:
                return
            del halves[key]
            self.answered.newer.add(key)
            self.fresh.append(key)
            merge_change(self.changes, side + key, None)
            yield key, half

    def take_changes(self) -> tuple[dict[bytes, Unmatched | None], list[bytes]]:
        """What changed since the last call: halves that came (a value) or went (None), and the ids now answered."""
        changes, fresh = self.changes, self.fresh
        self.changes, self.fresh = {}, []
        return changes, fresh


def merge_change(changes: dict[bytes, Unmatched | None], key: bytes, half: Unmatched | None) -> None:
    """Note one change after others; a half that came and went in between leaves no trace."""
    if half is None and changes.pop(key, None) is not None:
        return
    changes[key] = half
