"""What a rate takes beyond this machine: partitions, workers and bytes, by formulas from what was measured.

Usage: python benchmarks/cost_model.py [RATE …]
       python benchmarks/cost_model.py --write

In: results.json of a whole `make bench`. Out: the tables of docs/scaling.md, where each formula is explained; with
--write they go into that page, which a whole `make bench` does by itself.
"""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from report import Document, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "scaling.md"
RATES = (10_000, 1_000_000, 10_000_000)

LOAD = 0.5
"""The share of its full rate that a worker is given; latency is measured at the same."""
SPARE = 2
"""Partitions for each worker, so that the work of one that is gone can be shared among the others."""
COPIES = 3
"""The replication factor that production uses; the measurement had 1."""
COMPARISON_READERS = 2
"""Judge and aggregate read every comparison."""
REQUEST_DAYS, COMPARISON_DAYS = 7, 30

_PART = re.compile(r"(<!-- cost model -->\n).*?(<!-- /cost model -->)", re.DOTALL)


@dataclass(frozen=True)
class Measured:
    """What the formulas start from; bytes are those that the broker keeps, compressed, for each pair."""

    pairs_per_s: float
    cpu_us: float
    broker_us: float
    peak_mib: float
    requests: float
    predictions: float
    comparisons: float
    changelog: float

    @classmethod
    def of(cls, document: Document) -> Self:
        """From results.json.

        Raises:
            SystemExit: Speed or latency was not measured.
        """
        row = next((one for one in document["rows"] if one["name"] == "shadowbus"), None)
        if row is None or not document.get("latency"):
            raise SystemExit("results.json lacks shadowbus or latency: run `make bench` without --only.")
        kept = document["latency"][0]["bytes_per_pair"]
        return cls(
            row["pairs_per_s"],
            row["cpu_us_per_pair"],
            row["broker_us_per_pair"],
            row["peak_mib"],
            kept["requests"],
            kept["predictions"],
            kept["comparisons"],
            kept["replay-changelog"],
        )


@dataclass(frozen=True)
class Cost:
    """What so many requests a second take, with one shadow."""

    rate: int
    measured: Measured

    @property
    def workers(self) -> int:
        """Replay workers, each with its model process."""
        return math.ceil(self.rate / (LOAD * self.measured.pairs_per_s))

    @property
    def partitions(self) -> int:
        """Of every topic."""
        return SPARE * self.workers

    @property
    def worker_cores(self) -> float:
        """Cores that are busy in all workers and models together."""
        return self.rate * self.measured.cpu_us / 1e6

    @property
    def broker_cores(self) -> float:
        """Cores that are busy in brokers, without replication."""
        return self.rate * self.measured.broker_us / 1e6

    @property
    def bytes_in(self) -> float:
        """Bytes a second that clients write, of capture and replay."""
        m = self.measured
        return self.rate * (m.requests + m.predictions + m.comparisons + m.changelog)

    @property
    def bytes_replicated(self) -> float:
        """Bytes a second that brokers copy from each other."""
        return self.bytes_in * (COPIES - 1)

    @property
    def bytes_out(self) -> float:
        """Bytes a second that replay, judge and aggregate read."""
        m = self.measured
        return self.rate * (m.requests + m.predictions + COMPARISON_READERS * m.comparisons)

    @property
    def changelog(self) -> float:
        """Bytes a second that go to the changelog; part of `bytes_in`."""
        return self.rate * self.measured.changelog

    @property
    def disk(self) -> float:
        """Bytes on disk of all copies, as long as records are kept."""
        m = self.measured
        days = REQUEST_DAYS * (m.requests + m.predictions) + COMPARISON_DAYS * m.comparisons
        return self.rate * 86_400 * days * COPIES

    def cells(self) -> list[str]:
        """A line of the table."""
        counts = [f"{self.rate:,}", f"{self.workers:,}", f"{self.partitions:,}"]
        cores = [f"{self.worker_cores:,.1f}", f"{self.broker_cores:,.1f}"]
        flows = (self.bytes_in, self.bytes_replicated, self.bytes_out, self.changelog)
        return [*counts, *cores, *(f"{size(flow)}/s" for flow in flows), size(self.disk)]


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} PB"


def tables(document: Document, rates: Sequence[int] = RATES) -> str:
    """What was measured, and what follows from it."""
    m = Measured.of(document)
    start = [
        ["W", "pairs/s of one worker at full speed", f"{m.pairs_per_s:,.0f}"],
        ["C", "µs of processor time a pair, worker and model", f"{m.cpu_us:.1f}"],
        ["B", "µs of processor time a pair, broker", f"{m.broker_us:.1f}"],
        ["M", "most MiB of one worker and its model", f"{m.peak_mib:.0f}"],
        ["q", "bytes of a request, as the broker keeps it", f"{m.requests:.0f}"],
        ["p", "bytes of a live prediction", f"{m.predictions:.0f}"],
        ["c", "bytes of a comparison", f"{m.comparisons:.0f}"],
        ["s", "bytes of changelog for each pair of live traffic", f"{m.changelog:.0f}"],
    ]
    head = ["requests/s", "workers", "partitions", "worker cores", "broker cores", "in", "replicated", "out"]
    lines = [Cost(rate, m).cells() for rate in rates]
    follows = table([*head, "changelog", "disk"], lines)
    return f"{table(['', 'measured', ''], start)}\n\n{follows}\n"


def renew_page(document: Document) -> None:
    """Write the tables into docs/scaling.md, when all they need was measured."""
    if document.get("latency") and any(row["name"] == "shadowbus" for row in document["rows"]):
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_PART.sub(lambda found: found[1] + tables(document) + found[2], page), encoding="utf-8")


def main() -> None:
    document = json.loads((HERE / "results.json").read_text())
    if sys.argv[1:] == ["--write"]:
        renew_page(document)
        return
    print(tables(document, [int(rate) for rate in sys.argv[1:]] or RATES))


if __name__ == "__main__":
    main()
