"""The broker and the folder that one whole run of the benchmark has, and running one candidate there."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from candidate import SHADOWBUS, Candidate
from measure import Measurement, measure
from outputs import WrongOutputError
from stream import Stream
from workload import agreements

KEPT = ("requests", "predictions", "comparisons", "challenger.replay-changelog", "vitals")


@dataclass(frozen=True)
class Bench:
    """One run.

    Attributes:
        bootstrap: The broker.
        data: Where the broker keeps its records.
        bundle: The shadow's model; its folder is for anything temporary.
    """

    bootstrap: str
    data: Path
    bundle: Path
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def folder(self) -> Path:
        """A temporary folder."""
        return self.bundle.parent

    def name(self, what: str) -> str:
        """A name for a namespace or a log that nothing else in this run has."""
        return f"{what}-{next(self.numbers)}"

    def run(
        self, candidate: Candidate, stream: Stream, pairs: int, *, workers: int = 1, seconds: float = 300
    ) -> Measurement:
        """Measure a candidate on the pairs of a stream, and check every comparison against the model itself.

        Raises:
            CandidateFailedError: It ended, or did not get there in time.
            WrongOutputError: Its output is not what it should be.
        """
        own = [topic for topic in candidate.outputs if topic != "comparisons"]
        stream.add_topics(own)
        command = candidate.command(stream, stream.topic(candidate.outputs[0]))
        measured = measure(
            [_as_worker(command, number, workers) for number in range(workers)],
            bootstrap=self.bootstrap,
            topics=[stream.topic(topic) for topic in candidate.outputs],
            pairs=pairs,
            log=self.folder / f"{self.name(candidate.name)}.log",
            seconds=seconds,
        )
        count, agreeing = measured.count, agreements(stream.bundle, pairs)
        if candidate.compares and (count.compared, count.agreeing) != (pairs, agreeing):
            raise WrongOutputError(
                f"{count.compared} of {pairs} pairs were compared, and {count.agreeing} agree, not {agreeing}. "
                f"One of the others: {count.other[:600].decode()}"
            )
        return measured

    def shadowbus(self, stream: Stream, pairs: int, *, workers: int = 1, seconds: float = 300) -> Measurement:
        """Measure shadowbus; see `run`."""
        return self.run(SHADOWBUS, stream, pairs, workers=workers, seconds=seconds)

    def stored_bytes(self, stream: Stream, pairs: int) -> dict[str, float]:
        """How many bytes the broker keeps for each pair, compressed, by topic; cleaning is switched off meanwhile."""
        return {
            name.removeprefix("challenger."): round(
                sum(file.stat().st_size for file in self.data.glob(f"*/*/{stream.topic(name)}-*/*.log")) / pairs, 1
            )
            for name in KEPT
        }


def _as_worker(command: Sequence[str], number: int, workers: int) -> Sequence[str]:
    return [*command, "--worker-id", f"worker-{number}"] if workers > 1 else command
