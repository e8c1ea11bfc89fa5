"""One supervised child process: when it is started, and started again, how it is ended, and what it says.

It is born into a group that ends with this process (`processes/group.py`).
"""

import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from shadowbus.clock import Deadline, monotonic
from shadowbus.kafka.worker.call_watchdog import EXIT_STATUS
from shadowbus.processes.group import ProcessGroup
from shadowbus.throttle import Allowance

LINE_BYTES = 16_384
AGAIN_AND_AGAIN = 3
READER_S = 2.0
LINES_AT_ONCE = 200
"""Of one child: room for a traceback. A child keeps its log short by itself; this holds where that fails."""
LINE_SECONDS = 0.2
"""And afterwards one line each time so many seconds have gone by."""

logger = logging.getLogger("shadowbus.processes.supervisor")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before a child is started again: `first`, doubled up to `most`, forgotten after `steady` of life."""

    first: float = 1.0
    most: float = 30.0
    steady: float = 60.0

    def pause(self, failures: int) -> float:
        """How long to wait after that many failures in a row.

        >>> [Backoff().pause(failures) for failures in (1, 2, 5, 6, 99)]
        [1.0, 2.0, 16.0, 30.0, 30.0]
        """
        return min(self.most, self.first * float(1 << min(failures - 1, 30)))


class Child:
    """One command that shall always run."""

    def __init__(
        self, name: str, command: Sequence[str], group: ProcessGroup, say: Callable[[str, str], None], backoff: Backoff
    ) -> None:
        self.name = name
        self.restarts = 0
        self._command = tuple(command)
        self._group = group
        self._say = say
        self._backoff = backoff
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._born = 0.0
        self._due: float | None = None
        self._failures = 0
        self._last_words = ""

    @property
    def pid(self) -> int | None:
        """The newest process, None before the first."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs right now."""
        return self._process is not None and self._process.poll() is None

    def tend(self, now: float) -> None:
        """Start it when that is due; notice that it ended, and plan the next start. `now` is on the monotonic clock."""
        if self.alive:
            return
        if self._process is None:
            self._launch(now)
        elif self._due is None:
            self._plan(now, self._process.returncode)
        elif now >= self._due:
            self.restarts += 1
            self._launch(now)

    def ask_to_end(self) -> None:
        """SIGTERM, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: Deadline) -> None:
        """Wait until it has ended; kill it when the time is over."""
        if self._process is None:
            return
        try:
            self._process.wait(deadline.remaining())
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in time and is killed", self.name)
            self._process.kill()

    def reap(self) -> None:
        """Let go of what has ended."""
        if self._process is not None:
            self._process.wait()
        if self._reader is not None:
            self._reader.join(READER_S)

    def _launch(self, now: float) -> None:
        self._born, self._due = now, None
        self._process = self._group.launch(self._command)
        if self._process.stdout is not None:
            self._reader = threading.Thread(
                target=self._listen, args=(self._process.stdout,), name=f"{self.name} says", daemon=True
            )
            self._reader.start()

    def _plan(self, now: float, code: int) -> None:
        # One that asks to be started again waited for Kafka before it ended: to wait longer each time serves nobody.
        again = code == EXIT_STATUS or now - self._born >= self._backoff.steady
        self._failures = 1 if again else self._failures + 1
        pause = self._backoff.pause(self._failures)
        self._due = now + pause
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        logger.warning("%s %s; it starts again in %g s", self.name, how, pause)
        if self._failures >= AGAIN_AND_AGAIN:
            logger.error("%s has failed %d times in a row: %s", self.name, self._failures, self._last_words)

    def _listen(self, said: IO[bytes]) -> None:
        allowance = Allowance(LINES_AT_ONCE, LINE_SECONDS)
        with said:
            while line := said.readline(LINE_BYTES):
                self._last_words = line.decode(errors="replace").rstrip()
                now = monotonic()
                if allowance.take(now):
                    self._tell_left_out(allowance, now)
                    self._say(self.name, self._last_words)
        self._tell_left_out(allowance, monotonic())

    def _tell_left_out(self, allowance: Allowance, now: float) -> None:
        count, seconds = allowance.owed(now)
        if count:
            self._say(self.name, f"({count:,} lines left out in {seconds:.0f} s)")
