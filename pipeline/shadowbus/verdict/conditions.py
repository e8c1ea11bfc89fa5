"""What is simply counted: enough requests, enough labels, no gap in the books. Never fails, only stays open."""

from collections.abc import Iterator

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criterion import Criterion


def conditions(evidence: Evidence, gate: GateSettings) -> Iterator[Criterion]:
    """What PROMOTE needs beside the criteria; none of it is the shadow's fault."""
    counts = evidence.counts
    for name, seen, least in (
        ("requests", counts.comparisons, gate.min_requests),
        ("labels", counts.labels, gate.min_labels),
    ):
        if least > 0:
            yield Criterion(name, seen, seen, seen, least, "holds" if seen >= least else "open")
    if gap := evidence.books_gap:
        yield Criterion("books", gap, gap, gap, 0, "open", evidence.books_note or "The books do not close.")
