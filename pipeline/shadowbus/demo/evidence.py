"""The newest aggregate and verdict of every trial, as anybody could read them from Kafka."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shadowbus.clock import Deadline
from shadowbus.errors import Malformed
from shadowbus.kafka.read.subscribe import follow
from shadowbus.records import Aggregate, Verdict, decode
from shadowbus.settings import Settings
from shadowbus.topology import AGGREGATES, VERDICTS, Topic

Kind = TypeVar("Kind")
START_S = 20.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is known of one trial; empty before anything was published.

    Attributes:
        summary: The aggregate's, of the whole trial.
        books: The aggregate's.
        verdict: The newest.
        decided_s: When the verdict became what it is, in seconds since traffic began.
    """

    summary: Mapping[str, Any]
    books: Mapping[str, Any]
    verdict: Verdict | None
    decided_s: float | None

    @property
    def word(self) -> str:
        """The verdict as in the records."""
        return self.verdict.verdict if self.verdict else "KEEP_WATCHING"

    def criterion(self, name: str) -> Mapping[str, Any]:
        """One criterion of the verdict; empty where there is none."""
        found = self.verdict.criteria if self.verdict else []
        return next((one for one in found if isinstance(one, Mapping) and one.get("name") == name), {})

    def named(self, state: str) -> list[str]:
        """The criteria in that state: `holds`, `fails` or `open`."""
        found = self.verdict.criteria if self.verdict else []
        return [str(one.get("name")) for one in found if isinstance(one, Mapping) and one.get("state") == state]

    def settled_at(self, requests: int) -> bool:
        """Whether exactly so many requests are accounted for, each comparison is counted and judged, and decided on."""
        if self.verdict is None or not (self.books.get("settled") and self.books.get("closes")):
            return False
        sides = [self.books[side] for side in ("requests", "predictions")]
        read = all(side["read"] == requests and side["waiting"] == 0 for side in sides)
        compared = self.books["by_status"].get("compared", {}).get("counted", 0)
        decided = self.verdict.requests == self.books["counted"] and self.verdict.labels == compared
        return read and decided and self.summary["labels"] == compared


class Evidence:
    """Follows aggregates and verdicts in two threads, until closed."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._aggregates: dict[str, Aggregate] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._decided: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=(AGGREGATES, Aggregate, self._take_aggregate), daemon=True),
            threading.Thread(target=self._follow, args=(VERDICTS, Verdict, self._take_verdict), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def trial(self, name: str) -> Trial:
        """How a trial stands."""
        aggregate = self._aggregates.get(name)
        summary, books = (aggregate.summary, aggregate.books) if aggregate else ({}, {})
        return Trial(summary, books, self._verdicts.get(name), self._decided.get(name))

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, topic: Topic, kind: type[Kind], take: Callable[[Kind], None]) -> None:
        for value in follow(self._settings, topic, self._stop, Deadline.after(START_S), from_beginning=True):
            try:
                take(decode(kind, value))
            except Malformed:
                continue  # not ours: the namespace is the demo's own

    def _take_aggregate(self, record: Aggregate) -> None:
        if record.segment == record.window == "all":
            self._aggregates[record.trial] = record

    def _take_verdict(self, record: Verdict) -> None:
        before = self._verdicts.get(record.trial)
        if before is None or before.verdict != record.verdict:
            self._decided[record.trial] = self._clock()
        self._verdicts[record.trial] = record
