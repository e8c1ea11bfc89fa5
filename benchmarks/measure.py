"""Runs one candidate as a process, or several, and watches its output topics from outside, the same way for each.

Speed is taken between the first tenth and the end of the committed output, so that starting up does not count.
Processor time and memory are those of all its processes; the output is read back, counted and checked for doubles.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from outputs import Count, Outputs
from processes import CandidateFailedError, last_words, started
from usage import Sample, Usage, broker_pids

WARM = 0.1
EVERY_S = 0.05
SHORT_S = 0.5

NOT_COUNTED = Count(0, 0, 0, b"")


@dataclass(frozen=True)
class Progress:
    """How far a candidate was at one moment, and what it and the broker had used by then."""

    at: float
    written: int
    cpu_s: float
    broker_s: float


@dataclass(frozen=True)
class Measurement:
    """What a run took, from its first tenth to its end; of a run too short for that, all of it.

    Attributes:
        pairs_per_s: Speed.
        cpu_us_per_pair: Processor time of all its processes.
        broker_us_per_pair: Processor time of the broker meanwhile.
        peak_mib: The most resident memory of all its processes together.
        track: Output over time, as (moment, share of the output).
        memory: Memory over time.
        count: What the first output topic holds.
    """

    pairs_per_s: float
    cpu_us_per_pair: float
    broker_us_per_pair: float
    peak_mib: float
    track: list[tuple[float, float]] = field(repr=False)
    memory: list[Sample] = field(repr=False)
    count: Count = NOT_COUNTED


class Watched:
    """Processes at work, what they and the broker use, and the topics they write."""

    def __init__(
        self, processes: list[subprocess.Popen[bytes]], usage: Usage, broker: Usage, outputs: Outputs, log: Path
    ) -> None:
        self.processes, self.usage, self.broker, self.outputs, self.log = processes, usage, broker, outputs, log
        self._before = 0

    def look(self) -> Progress:
        """Where they are; what was written is counted from where the last `follow` ended.

        Raises:
            CandidateFailedError: One of them ended.
        """
        gone = [process.returncode for process in self.processes if process.poll() is not None]
        if gone:
            raise CandidateFailedError(f"It ended with {gone[0]}. {last_words(self.log)}")
        written = self.outputs.written() - self._before
        return Progress(time.monotonic(), written, self.usage.cpu_seconds(), self.broker.cpu_seconds())

    def follow(self, pairs: int, seconds: float) -> Measurement:
        """Watch until each topic has so many records more.

        Raises:
            CandidateFailedError: A process ended, or the output did not come in time.
        """
        wanted = pairs * self.outputs.topics
        track = [self.look()]
        while track[-1].written < wanted:
            if time.monotonic() > track[0].at + seconds:
                why = f"It wrote {track[-1].written} of {wanted} records in {seconds:.0f} s and was given up."
                raise CandidateFailedError(f"{why} {last_words(self.log)}")
            time.sleep(EVERY_S)
            track.append(self.look())
        self._before += track[-1].written
        return _measured(track, wanted, pairs, self.usage)


@contextlib.contextmanager
def watched(commands: Sequence[Sequence[str]], outputs: Outputs, log: Path) -> Iterator[Watched]:
    """Start processes, and end them at the end."""
    with (
        started(commands, log) as processes,
        Usage([process.pid for process in processes]) as usage,
        Usage(broker_pids()) as broker,
    ):
        yield Watched(processes, usage, broker, outputs, log)


def measure(
    commands: Sequence[Sequence[str]],
    *,
    bootstrap: str,
    topics: Sequence[str],
    pairs: int,
    log: Path,
    seconds: float = 300,
) -> Measurement:
    """Run `commands` until every topic holds `pairs` records, check what was written, and end them.

    Raises:
        CandidateFailedError: A process ended, or the output did not come in time.
        WrongOutputError: Records are missing or double.
    """
    outputs = Outputs(bootstrap, topics)
    with watched(commands, outputs, log) as processes:
        measured = processes.follow(pairs, seconds)
        counts = [outputs.count(topic, pairs) for topic in topics]
    return replace(measured, count=counts[0])


def _measured(track: list[Progress], wanted: int, pairs: int, usage: Usage) -> Measurement:
    warm, end = next(moment for moment in track if moment.written >= wanted * WARM), track[-1]
    if end.at - warm.at < SHORT_S:
        warm = track[0]
    share = max(1, end.written - warm.written) * pairs / wanted
    return Measurement(
        pairs_per_s=share / (end.at - warm.at),
        cpu_us_per_pair=(end.cpu_s - warm.cpu_s) / share * 1e6,
        broker_us_per_pair=(end.broker_s - warm.broker_s) / share * 1e6,
        peak_mib=usage.peak_mib,
        track=[(moment.at, moment.written / wanted) for moment in track],
        memory=usage.samples,
    )
