"""The same rows, timed alone by a shadow and by the control beside it: how much longer the shadow takes. Pure.

In: rows that were timed, of several trials of one source partition, in the order of the log. Out: pairs. Guaranteed:
memory is bounded, as each trial keeps the rows it timed last; and what is paired follows from the log alone, however it
came in batches and after which crash, as these rows are kept with the names of the trial.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from shadowbus.statistics.logarithm import log
from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.totals.definitions import LARGEST_SLOWDOWN
from shadowbus.totals.noise_floor import controls_of
from shadowbus.totals.totals import Totals

MOST_ROWS = 300
"""How many rows each trial keeps to be paired with the other side: shadow and control are seconds apart."""

LEAST_MS = 1e-6


class Timed(NamedTuple):
    """A row that was timed alone."""

    trial: str
    request_id: str
    latency_ms: float


@dataclass(slots=True)
class Timings:
    """The rows of one trial that were timed last: milliseconds by a digest of the id."""

    rows: dict[str, float] = field(default_factory=dict)

    def add(self, row: str, latency_ms: float) -> None:
        """One more; the oldest gives way."""
        self.rows[row] = latency_ms
        if len(self.rows) > MOST_ROWS:
            del self.rows[next(iter(self.rows))]

    def to_record(self) -> dict[str, list[str]]:
        """As they stand among the names of a trial; nothing where there are none."""
        return {"timings": [f"{row} {latency_ms!r}" for row, latency_ms in self.rows.items()]} if self.rows else {}

    def keep(self, record: Mapping[str, Iterable[str]]) -> None:
        """Take them back.

        Raises:
            ValueError: They are something else.
        """
        for text in record.get("timings", ()):
            row, _, latency_ms = text.partition(" ")
            self.add(row, float(latency_ms))


def paired(
    timed: Iterable[Timed], trials: Iterable[str], timings_of: Callable[[str], Timings], controls: frozenset[str]
) -> dict[str, Totals]:
    """What rows add to the totals of shadows whose control timed them too, by trial.

    Args:
        timed: The rows, in the order of the log.
        trials: All trials of the source partition.
        timings_of: The rows that a trial timed last.
        controls: The shadows that are the champion itself.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    known = sorted(trials)
    beside = {trial: controls_of(trial, known, controls) for trial in known}
    for one in timed:
        row = blake2b(one.request_id.encode(), digest_size=6).hexdigest()
        for control in beside.get(one.trial, ()):
            if (theirs := timings_of(control).rows.get(row)) is not None:
                pairs.setdefault(one.trial, []).append((one.latency_ms, theirs))
        for trial, its_controls in beside.items():
            if one.trial in its_controls and (ours := timings_of(trial).rows.get(row)) is not None:
                pairs.setdefault(trial, []).append((ours, one.latency_ms))
        timings_of(one.trial).add(row, one.latency_ms)
    return {trial: _totals(found) for trial, found in pairs.items()}


def _totals(pairs: list[tuple[float, float]]) -> Totals:
    ours, theirs = np.maximum(np.array(pairs, np.float64).T, LEAST_MS)
    slowdown = (log(ours) - log(theirs)).clip(-LARGEST_SLOWDOWN, LARGEST_SLOWDOWN)
    return Totals(
        slowdown=CorrectedMoments(Moments.of(slowdown)), control_gap=CorrectedMoments(Moments.of(ours - theirs))
    )
