"""The one place that asks what time it is.

Everything else takes time as an argument, so that tests move it by hand. Wall-clock time is integer milliseconds since
the epoch and is only ever recorded; deadlines are measured on the monotonic clock, in seconds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


def now_ms() -> int:
    """Milliseconds since the epoch, to be recorded (never to measure a duration with)."""
    return time.time_ns() // 1_000_000


monotonic = time.monotonic
"""Seconds on a clock that never goes backwards, to measure durations with."""

thread_seconds = time.thread_time
"""Seconds that this thread has worked for, without what it waited."""

worked = time.thread_time
"""Seconds of the processor that this thread has had, for what must not depend on how busy the machine is."""

perf_ns = time.perf_counter_ns
"""Nanoseconds on the finest clock there is, for latencies."""


def pausing() -> Callable[[float], None]:
    """What lets others run for some seconds, in the threads of this moment: gevent and eventlet replace it.

    Whoever starts a thread takes it there and then: a thread and its pause have to be of one kind.
    """
    return time.sleep


@dataclass(frozen=True, slots=True)
class Deadline:
    """One moment by which a whole operation has to be done, shared by all its steps."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """A deadline that many seconds from now."""
        return cls(monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never less than zero."""
        return max(0.0, self.at - monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return monotonic() >= self.at
