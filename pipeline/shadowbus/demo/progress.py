"""How traffic is going, as the process that makes it tells the one that shows it: one small file, always whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from shadowbus.demo.paired import PairedLatency, Percentiles
from shadowbus.records import decode

Phase = Literal["starting", "warm-up", "pairs", "traffic", "labels", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been sent and what came back.

    Attributes:
        phase: A `Phase`; "labels" means that all calls are made, and only labels are still to come.
        calls: Calls to production that were answered or failed.
        errors: Those that failed: no answer, or not a 200.
        rate: Calls per second over the last few seconds.
        latency: Of all answered calls of the phase "traffic", as their callers measured it.
        labels: Labels sent so far.
        labels_waiting: Labels whose time has not come.
        labels_lost: Labels that did not reach Kafka.
        pairs: What the tap costs, once it was measured.
        trouble: The newest error, in words.
    """

    phase: str = "starting"
    calls: int = 0
    errors: int = 0
    rate: float = 0.0
    latency: Percentiles = field(default_factory=lambda: Percentiles.of(()))
    labels: int = 0
    labels_waiting: int = 0
    labels_lost: int = 0
    pairs: PairedLatency | None = None
    trouble: str = ""

    def write(self, path: Path) -> None:
        """Put it where `read_progress` finds it: a reader sees this one or the one before."""
        half = path.with_suffix(".new")
        half.write_bytes(orjson.dumps(self))
        half.replace(path)


def read_progress(path: Path) -> Progress:
    """The newest progress; the very beginning, where nothing was written yet.

    Raises:
        Malformed: The file is something else.
    """
    try:
        return decode(Progress, path.read_bytes())
    except FileNotFoundError:
        return Progress()


def recent_rate(moments: Sequence[float], now: float, seconds: float = 5.0) -> float:
    """Events per second over the last few seconds.

    Args:
        moments: When each happened, in order, in seconds on the monotonic clock.
        now: On the same clock.
        seconds: How far to look back.

    >>> recent_rate([0.0, 6.0, 7.0, 8.0, 9.0, 10.0], now=10.0)
    1.0
    """
    recent = [moment for moment in moments[-10_000:] if now - seconds < moment <= now]
    return len(recent) / min(seconds, max(now - moments[0], 1.0)) if recent else 0.0
