"""The join of requests and predictions of one partition, by id. Pure: no Kafka, no clock.

In: requests and predictions, in any order, late, twice or never. Out: matches, each id once; expired records;
duplicates. Guaranteed: every change of the unmatched records is noted for the changelog.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shadowbus.replay.live import Live

REQUEST, PREDICTION = b"r", b"p"
"""Marks a changelog key with the side whose record it keeps."""

Unmatched = tuple[bytes, int, int, Live | None]
"""A record that waits: its raw value, since when it waits (milliseconds since the epoch), its offset, and for a
prediction what was parsed from it (None after a restore)."""

Match = Unmatched | Literal[False] | None
"""The record that one was matched with; None if it waits now; False for a duplicate."""


@dataclass(slots=True)
class AnsweredIds:
    """Ids that were matched or expired, so that another record of them is a duplicate: the last n to 2n ids.

    Ids are kept in two generations; when the newer one is full, the older one is dropped. `entries` names the changelog
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
    """One partition's unmatched records.

    Args:
        remember: How many answered ids to remember at least.
    """

    def __init__(self, remember: int) -> None:
        self.requests: dict[bytes, Unmatched] = {}
        self.predictions: dict[bytes, Unmatched] = {}
        self.answered = AnsweredIds(remember)
        self.changes: dict[bytes, Unmatched | None] = {}
        self.fresh: list[bytes] = []

    def match(self, requests: Sequence[bytes], predictions: Sequence[bytes]) -> set[bytes]:
        """Match the ids that are on both sides, once each, and were never seen before.

        Does what `add` would do for them, all at once. The others have to be added.
        """
        first, second = set(requests), set(predictions)
        if len(first) < len(requests) or len(second) < len(predictions):
            return set()
        matched = first & second
        answered = self.answered
        for known in (answered.newer, answered.older, self.requests.keys(), self.predictions.keys()):
            if not known.isdisjoint(matched):
                matched -= known & matched
        answered.newer |= matched
        self.fresh += matched
        return matched

    def add(self, side: bytes, keys: Iterable[bytes], unmatched: Iterable[Unmatched]) -> list[Match]:
        """Add records of one side.

        Returns:
            For each the record of the other side if one waits; None if this one waits now; False for a duplicate.
        """
        mine, others = self.requests, self.predictions
        if side == PREDICTION:
            mine, others = others, mine
        other_side = PREDICTION if side == REQUEST else REQUEST
        answered, changes, matched = self.answered, self.changes, list[Match]()
        newer, fresh = answered.newer, self.fresh
        for key, record in zip(keys, unmatched, strict=True):
            other = others.pop(key, None)
            if other is not None:
                newer.add(key)
                fresh.append(key)
                if changes.pop(other_side + key, None) is None:
                    changes[other_side + key] = None
                matched.append(other)
            elif key in mine or key in answered:
                matched.append(False)
            else:
                mine[key] = changes[side + key] = record
                matched.append(None)
        return matched

    def expired(self, side: bytes, before_ms: int) -> Iterator[tuple[bytes, Unmatched]]:
        """Remove the records of one side that have waited since before a moment, oldest first."""
        unmatched = self.requests if side == REQUEST else self.predictions
        while unmatched:
            key = next(iter(unmatched))
            record = unmatched[key]
            if record[1] >= before_ms:
                return
            del unmatched[key]
            self.answered.newer.add(key)
            self.fresh.append(key)
            merge_change(self.changes, side + key, None)
            yield key, record

    def take_changes(self) -> tuple[dict[bytes, Unmatched | None], list[bytes]]:
        """The changes since the last call: records that came (a value) or went (None), and the ids now answered."""
        changes, fresh = self.changes, self.fresh
        self.changes, self.fresh = {}, []
        return changes, fresh


def merge_change(changes: dict[bytes, Unmatched | None], key: bytes, record: Unmatched | None) -> None:
    """Note one change after others; a record that came and went in between leaves no trace."""
    if record is None and changes.pop(key, None) is not None:
        return
    changes[key] = record
