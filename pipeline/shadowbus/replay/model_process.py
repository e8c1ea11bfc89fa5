"""The worker's side of the model process: ask, wait as long as the deadline allows, find the guilty rows, go on.

The model is never trusted. It may raise, hang, crash, print, leak: all of that ends here and becomes a status of the
rows that caused it. Chunks are answered in the order in which they were asked.
"""

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import BundleError
from shadowbus.replay.circuit import Circuit
from shadowbus.replay.model_messages import Answers, Pipe, pack_question, unpack_answers
from shadowbus.replay.model_vitals import ModelVitals
from shadowbus.replay.model_worker import ModelWorker
from shadowbus.replay.unanswered import unanswered
from shadowbus.settings import ShadowSettings

logger = logging.getLogger("shadowbus.model")

PARTS = 32
"""Into how many parts rows are split that brought the model down. A part answers or brings it down again."""

IN_FLIGHT = 6
"""How many chunks are with the model at once: one is predicted, the others wait, so that it never has to."""

CHUNK_SECONDS = 1.0
"""The least that several rows together may take: a machine that is busy for a moment is not a model that hangs."""

ISOLATION_SECONDS = 12.0
"""The least time to find the guilty rows of a chunk; what is not tried by then was unavailable. It leaves room for one
load of the model, and stays below the transaction's timeout."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(slots=True)
class Chunk:
    """Rows that are asked together: their keys, their raw request values and, once answered, the answers."""

    keys: list[bytes]
    values: list[bytes]
    answers: Answers | None = None


class ModelProcess:
    """A shadow's model in a process of its own.

    Raises:
        BundleError: The bundle cannot be trusted or loaded.
    """

    def __init__(self, shadow: ShadowSettings, bundle: Path, single_row_share: float = 0.05) -> None:
        self.shadow, self.bundle, self.share = shadow, bundle, single_row_share
        self.timeout = shadow.timeout_ms / 1000
        self.circuit = Circuit()
        self.vitals = ModelVitals()
        self.model = ""
        self._asked: deque[Chunk] = deque()
        self._waiting_since = 0.0
        self._keeper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._worker: ModelWorker | None = None
        self._row_seconds: float | None = None
        self._load()

    def chunk_rows(self, most: int) -> int:
        """How many rows to ask at once, so that a chunk takes at most a quarter of the deadline."""
        if self._row_seconds is None:
            return min(most, 64)
        return max(1, min(most, int(self.timeout / 4 / self._row_seconds)))

    def ask(self, chunk: Chunk) -> None:
        """Hand a chunk to the model. Collect answers when more than `IN_FLIGHT` are under way."""
        if not self._asked:
            self._waiting_since = monotonic()
        self._asked.append(chunk)
        self._send(chunk)

    @property
    def in_flight(self) -> int:
        """How many chunks are not answered yet."""
        return len(self._asked)

    def collect(self, *, wait: bool) -> None:
        """Take in answers: all that are there, and with `wait` at least one.

        Waits no longer than the deadlines, the restarts and the circuit allow.
        """
        while self._asked:
            chunk = self._asked[0]
            if chunk.answers is None:
                block = self._next_block(wait=wait)
                if block is not None:
                    self._answered(chunk, unpack_answers(block), monotonic() - self._waiting_since)
                elif wait or self._overdue():
                    self._fell(chunk)
                else:
                    return
            self._asked.popleft()
            self._waiting_since = monotonic()
            wait = False

    def report(self) -> dict[str, object]:
        """The model's part of a vitals record."""
        return {"name": self.model, **self.vitals.record(not self.circuit.allows(monotonic()))}

    def close(self) -> None:
        """Ask the process to end by closing its sockets, wait a moment, kill."""
        self._drop_worker()
        if self._control is not None:
            self._control.close()
        if self._keeper is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(2.0)
            self._keeper.kill()
            self._keeper.wait()
        self._keeper, self._control = None, None

    def _overdue(self) -> bool:
        gone = self._worker is None or self._worker.gone.is_set()
        return gone or monotonic() > self._due()

    def _due(self) -> float:
        return self._waiting_since + self._seconds_for(len(self._asked[0].keys))

    def _seconds_for(self, rows: int) -> float:
        """What rows may take together; one row alone has exactly what the settings allow."""
        return self.timeout if rows == 1 else max(CHUNK_SECONDS, 2 * self.timeout)

    def _next_block(self, *, wait: bool) -> bytes | None:
        """The next answer; None when there is none yet (without `wait`) or there will be none."""
        if self._worker is None:
            return None
        return self._worker.next_answer(self._due() - monotonic() if wait else 0.0)

    def _answered(self, chunk: Chunk, answers: Answers, seconds: float) -> None:
        chunk.answers = answers
        rows = len(chunk.keys)
        self.vitals.rows += rows
        self.vitals.batches += 1
        self.vitals.batch_ms += answers.batch_ms
        known = self._row_seconds
        self._row_seconds = seconds / rows if known is None else 0.8 * known + 0.2 * seconds / rows
        self.circuit.worked()

    def _fell(self, chunk: Chunk) -> None:
        """The model did not answer this chunk: find the guilty rows, then ask the later chunks again."""
        self._bury()
        # Also a row that was alone is asked once more: the machine, not the row, may have been at fault.
        chunk.answers = self._isolate(chunk.keys, chunk.values, self._isolation_deadline())
        for later in self._asked:
            if later.answers is None:
                self._send(later)

    def _isolation_deadline(self) -> Deadline:
        return Deadline.after(max(ISOLATION_SECONDS, 8 * self.timeout))

    def _isolate(self, keys: Sequence[bytes], values: Sequence[bytes], deadline: Deadline) -> Answers:
        """Answer rows that may bring the model down, part by part, until the guilty stand alone."""
        whole = Answers()
        size = max(1, len(keys) // PARTS)
        for start in range(0, len(keys), size):
            part_keys, part_values = keys[start : start + size], values[start : start + size]
            part, cause = self._try(part_keys, part_values, deadline)
            if part is None and len(part_keys) > 1 and cause[0] != "shadow_unavailable":
                part = self._isolate(part_keys, part_values, deadline)
            if part is None:
                part = unanswered(part_keys, part_values, cause)
            whole.append(part, start)
        return whole

    def _try(
        self, keys: Sequence[bytes], values: Sequence[bytes], deadline: Deadline
    ) -> tuple[Answers | None, tuple[str, str]]:
        """Ask one part and wait for it; on failure, why."""
        if deadline.passed or not self.circuit.allows(monotonic()) or not self._ready():
            return None, self._unavailable()
        worker = self._worker
        assert worker is not None  # noqa: S101
        seconds = self._seconds_for(len(keys))
        worker.ask(pack_question(keys, values))
        block = worker.next_answer(seconds)
        if block is None:
            return None, self._bury()
        self.vitals.rows += len(keys)
        return unpack_answers(block), ("", "")

    def _send(self, chunk: Chunk) -> None:
        """Put a chunk on its way; where the model must not or cannot be asked, that is its answer."""
        if self.circuit.allows(monotonic()) and self._ready() and self._worker is not None:
            self._worker.ask(pack_question(chunk.keys, chunk.values))
        else:
            chunk.answers = unanswered(chunk.keys, chunk.values, self._unavailable())

    def _unavailable(self) -> tuple[str, str]:
        return "shadow_unavailable", self.circuit.reason or "the model could not be started in time"

    def _bury(self) -> tuple[str, str]:
        """End a worker that hangs or is dead; returns the status and text of what it did."""
        worker = self._worker
        hung = worker is not None and not worker.gone.is_set()
        logger.warning("%s %s; it is started again", self.model, "does not answer" if hung else "died")
        self._drop_worker()
        self.vitals.deaths += 1
        self.circuit.died(monotonic())
        if hung:
            return "shadow_timeout", f"no answer within {self.shadow.timeout_ms:g} ms"
        return "shadow_crash", "the model's process died"

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _ready(self) -> bool:
        """Have a worker; fork one, or load the model anew, when there is none."""
        if self._worker is not None:
            return True
        for _ in range(2):
            if self._keeper is None or self._keeper.poll() is not None:
                self.close()
                self._load()
            control = self._control
            assert control is not None  # noqa: S101
            with contextlib.suppress(OSError):
                control.sendall(b"+")
                message, descriptors, _, _ = socket.recv_fds(control, 64, 2)
                if len(descriptors) == 2:
                    self._worker = ModelWorker(Pipe(*descriptors), int(message))
                    self.vitals.pid = int(message)
                    return True
            self.close()
        return False

    def _load(self) -> None:
        here, there = socket.socketpair()
        shadow = self.shadow
        command = [sys.executable, "-m", "shadowbus.replay.model_child"]
        command += ["--control", str(there.fileno()), "--bundle", str(self.bundle), "--threads", str(shadow.threads)]
        command += ["--memory-mb", str(shadow.memory_mb), "--single-row-share", str(self.share)]
        command += ["--allow-pickle"] if shadow.allow_pickle else []
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(shadow.threads))}
        self._keeper = subprocess.Popen(
            command,
            pass_fds=[there.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        there.close()
        here.settimeout(shadow.load_seconds)
        self._control = here
        self.vitals.loads += 1
        block = b""
        with contextlib.suppress(OSError):
            block = here.recv(65_536)
        said = (
            orjson.loads(block) if block else {"error": f"The model in {self.bundle} did not load in time, or crashed."}
        )
        if "error" in said:
            self.close()
            raise BundleError(said["error"])
        self.model = said["model"]
