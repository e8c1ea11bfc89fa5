"""What is counted or measured, not estimated: enough seen, resources, books. Never fails, only stays open.

None of it is sampled, so there is no interval: `low`, `value` and `high` are the same number. And none of it leads to
SEND BACK: too few days or a gap in the books are not the shadow's fault, and what a model takes depends on the machine.
"""

from collections.abc import Iterator
from dataclasses import replace

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criterion import Criterion

DAY_MS = 86_400_000
NOT_RUNNING = "It has not begun to run everywhere; what fails before is not held against it."


def conditions(evidence: Evidence, gate: GateSettings) -> Iterator[Criterion]:
    """What PROMOTE needs beside the criteria."""
    counts = evidence.counts
    for name, seen, least, n in (
        ("requests", counts.ran, gate.min_requests, counts.ran),
        ("labels", counts.labels, gate.min_labels, counts.labels),
        ("days", days(evidence), gate.min_days, counts.comparisons),
    ):
        if least > 0:
            yield Criterion(name, seen, seen, seen, least, "holds" if seen >= least else "open", n=n)
    for name, taken, most, n in (
        ("cpu_ms_per_row", evidence.cpu_ms_per_row, gate.max_cpu_ms_per_row, evidence.measured_rows),
        ("memory_mb", evidence.memory_mb, gate.max_memory_mb, evidence.measured_processes),
    ):
        if most is not None:
            yield replace(_measured(name, taken, most), n=n)
    if stalled := evidence.rows.stalled:
        yield Criterion("running", stalled, stalled, stalled, 0, "open", NOT_RUNNING, counts.comparisons)
    if gap := evidence.books_gap:
        yield Criterion(
            "books", gap, gap, gap, 0, "open", evidence.books_note or "The books do not close.", counts.comparisons
        )


def days(evidence: Evidence) -> float:
    """The days that the traffic lasted, without those in between that had none."""
    if evidence.first_ms is None or evidence.last_ms is None:
        return 0.0
    return (evidence.last_ms - evidence.first_ms) / DAY_MS - evidence.idle_days


def _measured(name: str, taken: float | None, most: float) -> Criterion:
    if taken is None:
        return Criterion(name, None, 0.0, float("inf"), most, "open", "Nothing has been measured yet.")
    note = "" if taken <= most else "Over its limit, as measured now."
    return Criterion(name, taken, taken, taken, most, "open" if note else "holds", note)
