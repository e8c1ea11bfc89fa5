"""The newest vitals that came in on one source partition: the account books that belong next to a trial's partials."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

from shadowbus.errors import Malformed
from shadowbus.records import Vitals, from_object, parse_object
from shadowbus.stage import RecordBatch

MOST_LATEST = 200
"""How many stages and shadows are remembered, the ones heard from last."""

LATELY_MS = 3_600_000


@dataclass(slots=True)
class _Latest:
    record: dict[str, Any]
    next_offset: int
    claims: dict[str, tuple[object, int]] = field(default_factory=dict)  # by trial: the counts, and since when
    fresh: bool = True


@dataclass(slots=True)
class LatestVitals:
    """The newest vitals of each stage and shadow.

    A record is written once for every trial that it names, under `trial|vitals|stage|partition`: as it came, with
    `next_offsets`, and with what is needed to tell a gap from a delay: `claimed_since_ms` (for how long the books have
    said the same about this trial), `behind` (comparisons not yet counted; null when unknown) and `written_ms`, all by
    the clock of this worker.
    """

    latest: dict[tuple[str, str], _Latest] = field(default_factory=dict)

    def take(self, piece: RecordBatch, now_ms: int) -> list[tuple[int, str]]:
        """Take a slice of vitals; returns the malformed ones, by index and with the reason."""
        rejected: list[tuple[int, str]] = []
        for index, value in enumerate(piece.values):
            try:
                record, vitals = _read(value, piece.partition)
            except Malformed as error:
                rejected.append((index, str(error)))
            else:
                self._keep(vitals, record, piece.offsets[index] + 1, now_ms)
        return rejected

    def take_news(
        self, known: Collection[str], behind: int | None, now_ms: int
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """What came since the last call, as (trial, stage, record); `known` are the trials counted here."""
        news: list[tuple[str, str, dict[str, Any]]] = []
        for (stage, shadow), latest in self.latest.items():
            if not latest.fresh:
                continue
            latest.fresh = False
            # Of trials that are not counted here only those that it has written to lately: others were forgotten.
            claimed = [
                trial for trial, (_, at_ms) in latest.claims.items() if trial in known or now_ms - at_ms < LATELY_MS
            ]
            for trial in sorted(claimed if shadow else known):
                since_ms = latest.claims[trial][1] if trial in latest.claims else now_ms
                notes = {"claimed_since_ms": since_ms, "behind": behind, "written_ms": now_ms}
                record = {**latest.record, "next_offsets": {"vitals": latest.next_offset}, **notes}
                news.append((trial, stage, record))
        return news

    def _keep(self, vitals: Vitals, record: dict[str, Any], next_offset: int, now_ms: int) -> None:
        before = self.latest.get((vitals.stage, vitals.shadow))
        earlier = before.claims if before is not None else {}
        comparisons = vitals.books.get("comparisons")
        claims: dict[str, tuple[object, int]] = {}
        for trial, counts in comparisons.items() if isinstance(comparisons, dict) else ():
            if "|" not in trial:
                same = trial in earlier and earlier[trial][0] == counts
                claims[trial] = earlier[trial] if same else (counts, now_ms)
        self.latest.pop((vitals.stage, vitals.shadow), None)
        self.latest[vitals.stage, vitals.shadow] = _Latest(record, next_offset, claims)
        while len(self.latest) > MOST_LATEST:
            del self.latest[next(iter(self.latest))]


def _read(value: bytes | None, partition: int) -> tuple[dict[str, Any], Vitals]:
    record = parse_object(value)
    vitals = from_object(Vitals, record)
    if vitals.partition != partition:
        raise Malformed(f"its 'partition' is {vitals.partition}, but it lies in partition {partition}")
    if "|" in vitals.stage:
        raise Malformed("the field 'stage' may not hold '|'")
    try:
        orjson.dumps(record)
    except TypeError as error:  # nested too deep to be written again
        raise Malformed(f"it cannot be kept: {error}") from None
    return record, vitals
