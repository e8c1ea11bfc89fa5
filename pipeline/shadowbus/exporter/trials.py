"""What was published of trials and segments, kept as it came until Prometheus asks. Pure.

Bounded: the newest `MOST_TRIALS` trials, of each the `MOST_SEGMENTS` segments with most requests and `MOST_CRITERIA`
criteria. What is left out is counted. Windows are not kept: Prometheus has a time of its own.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.errors import Malformed
from shadowbus.records import parse_object

MOST_TRIALS = 20
MOST_SEGMENTS = 50
MOST_CRITERIA = 60
MOST_FRESH = 5_000
"""So many records wait for somebody to ask; where nobody ever does, they are read all the same."""

MOST_KNOWN = 200
"""Of more trials than that the oldest are forgotten, and no more counted among those that are left out."""
ALL = "all"

Shown = Mapping[str, Any]
"""A record of the aggregates or the verdicts topic, as JSON has it."""


@dataclass(slots=True)
class Trial:
    """The newest verdict of one trial, and the newest aggregate of each segment."""

    verdict: Shown = field(default_factory=dict)
    segments: dict[str, Shown] = field(default_factory=dict)

    @property
    def updated_ms(self) -> int:
        """When it last changed."""
        times = self.segments.get(ALL, {}).get("updated_ms", 0), self.verdict.get("decided_ms", 0)
        return max(at for at in times if isinstance(at, int))

    def shown_segments(self) -> dict[str, Shown]:
        """The whole trial, and the segments with most requests."""
        rest = [name for name in self.segments if name != ALL]
        rest.sort(key=lambda name: (-_requests(self.segments[name]), name))
        names = [*([ALL] if ALL in self.segments else []), *rest[:MOST_SEGMENTS]]
        return {name: self.segments[name] for name in names}

    def shown_criteria(self) -> list[Shown]:
        """Those that fail come first, then those of the whole trial."""
        criteria = [one for one in self.verdict.get("criteria", ()) if isinstance(one, Mapping) and "name" in one]
        criteria.sort(key=lambda one: (one.get("state") != "fails", ":" in str(one["name"])))
        return criteria[:MOST_CRITERIA]


class Trials:
    """The newest records by trial; one thread brings them, another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[tuple[str, bytes], bytes | None] = {}
        self._known: dict[str, Trial] = {}

    def take(self, topic: str, key: bytes, value: bytes | None) -> None:
        """A record was published; it is read later, and only the newest of each key."""
        if topic == "verdicts" or (topic == "aggregates" and key.endswith(b"|all")):
            with self._lock:
                self._fresh[topic, key] = value
                if len(self._fresh) > MOST_FRESH:
                    self._take_fresh()

    def forget(self) -> None:
        """Others have these trials now, or all of them are published once more."""
        with self._lock:
            self._fresh, self._known = {}, {}

    def shown(self) -> tuple[dict[str, Trial], int]:
        """The newest trials by their names, and how many more there are."""
        with self._lock:
            self._take_fresh()
            names = sorted(self._known, key=lambda name: (-self._known[name].updated_ms, name))
            return {name: self._known[name] for name in names[:MOST_TRIALS]}, max(0, len(names) - MOST_TRIALS)

    def _take_fresh(self) -> None:
        fresh, self._fresh = self._fresh, {}
        for (topic, key), value in fresh.items():
            self._read(topic, key.decode(errors="replace").split("|"), value)
        if len(self._known) > MOST_KNOWN:
            for name in sorted(self._known, key=lambda name: self._known[name].updated_ms)[:-MOST_KNOWN]:
                del self._known[name]

    def _read(self, topic: str, names: list[str], value: bytes | None) -> None:
        trial = self._known.setdefault(names[0], Trial())
        try:
            record = parse_object(value) if value is not None else {}
        except Malformed:
            return
        if topic == "verdicts":
            trial.verdict = record
        elif value is None:
            trial.segments.pop(names[1], None)
        else:
            trial.segments[names[1]] = {name: record.get(name) for name in ("summary", "books", "updated_ms", "totals")}
        if not trial.verdict and not trial.segments:
            del self._known[names[0]]


def _requests(record: Shown) -> int:
    found = (record.get("summary") or {}).get("requests")
    return found if isinstance(found, int) else 0
