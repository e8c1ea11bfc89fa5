"""Halves of one partition that wait for their other half. Pure: no Kafka, no clock.

In: requests and predictions, in any order, late, twice or never. Out: pairs, each id once; what expired alone; what was
there before. Changes of what waits are noted, so that they can be kept in the changelog.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

REQUEST, PREDICTION = b"r", b"p"
"""Marks a changelog key with the side whose half it keeps."""

Half = tuple[bytes, int, int, dict[str, Any] | None]
"""A raw value, since when it waits (milliseconds since the epoch), the offset it came from, and for a prediction what
was read from it (None after a restore)."""


@dataclass(slots=True)
class Remembered:
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
        self.requests: dict[bytes, Half] = {}
        self.predictions: dict[bytes, Half] = {}
        self.answered = Remembered(remember)
        self.changes: dict[bytes, Half | None] = {}
        self.fresh: list[bytes] = []

    def request(self, key: bytes, half: Half) -> Half | Literal[False] | None:
        """Take a request: its prediction if that waits, None if the request has to wait, False for a duplicate."""
        other = self.predictions.pop(key, None)
        if other is not None:
            self._met(key, PREDICTION)
            return other
        if key in self.requests or key in self.answered:
            return False
        self.requests[key] = self.changes[REQUEST + key] = half
        return None

    def prediction(self, key: bytes, half: Half) -> Half | Literal[False] | None:
        """Take a prediction: its request if that waits, None if the prediction has to wait, False for a duplicate."""
        other = self.requests.pop(key, None)
        if other is not None:
            self._met(key, REQUEST)
            return other
        if key in self.predictions or key in self.answered:
            return False
        self.predictions[key] = self.changes[PREDICTION + key] = half
        return None

    def expired(self, side: bytes, before_ms: int) -> Iterator[tuple[bytes, Half]]:
        """Take out the halves of one side that wait since before a moment, oldest first."""
        halves = self.requests if side == REQUEST else self.predictions
        while halves:
            key = next(iter(halves))
            half = halves[key]
            if half[1] >= before_ms:
                return
            del halves[key]
            self._met(key, side)
            yield key, half

    def take_changes(self) -> tuple[dict[bytes, Half | None], list[bytes]]:
        """What changed since the last call: halves that came (a value) or went (None), and the ids now answered."""
        changes, fresh = self.changes, self.fresh
        self.changes, self.fresh = {}, []
        return changes, fresh

    def _met(self, key: bytes, side: bytes) -> None:
        self.answered.newer.add(key)
        self.fresh.append(key)
        merge_change(self.changes, side + key, None)


def merge_change(changes: dict[bytes, Half | None], key: bytes, half: Half | None) -> None:
    """Note one change after others; a half that came and went in between leaves no trace."""
    if half is None and changes.pop(key, None) is not None:
        return
    changes[key] = half
