"""A model in processes of its own, seen from the worker.

In: chunks of rows. Out: an answer or a failure for each row, within its deadline. Guaranteed: the model is never
trusted; whether it raises, hangs, crashes, prints or leaks, that becomes the status of the rows that caused it, and
chunks are answered in the order in which they were asked.
"""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import BundleError
from shadowbus.replay.model.answer_check import Garbled, failed_answers, read_answers
from shadowbus.replay.model.circuit_breaker import PATIENCE_SECONDS, CircuitBreaker
from shadowbus.replay.model.client import Chunk
from shadowbus.replay.model.exit_status import WorkerExit
from shadowbus.replay.model.fork_server import ForkServerProcess
from shadowbus.replay.model.forked_worker import ForkedWorker
from shadowbus.replay.model.messages import Answers, pack_question
from shadowbus.replay.model.pacing import Pace, WarmUp
from shadowbus.replay.model.processes import reached_out
from shadowbus.replay.model.vitals import ModelVitals
from shadowbus.settings import ShadowSettings

logger = logging.getLogger("shadowbus.model")

PARTS = 32
"""How many parts rows that ended the model are split into. A part is answered, or ends the model again."""

AWAY_SECONDS = 0.1
"""Of a longer time in which nobody asked for answers, this much counts against the model: a question or an answer that
is larger than a pipe does not get through meanwhile."""

RELOAD_SECONDS = 10.0
"""How long rows wait for a model whose fork server has died to be loaded again, before they go without it."""

LOG_SECONDS = 5.0
"""The least time between two log lines about ended workers."""


class ModelProcess:
    """A shadow's model in a process of its own.

    `share` may be set at any time, from any thread: each question says what it is.

    Args:
        shadow: The model's settings.
        bundle: Where the model is.
        single_row_share: The share of the time in which it waits that goes into predicting rows one at a time.
        patience: How many seconds may be lost to it at once; a transaction has to outlast that.

    Raises:
        BundleError: The bundle cannot be trusted or loaded.
    """

    def __init__(
        self,
        shadow: ShadowSettings,
        bundle: Path,
        single_row_share: float = 0.05,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.shadow, self.bundle, self.share = shadow, bundle, single_row_share
        self.pace = Pace(shadow.timeout_ms / 1000)
        self.circuit = CircuitBreaker(patience)
        self.vitals = ModelVitals()
        self._pending: deque[Chunk] = deque()
        self._waiting_since = self._pumped = 0.0
        self._logged, self._log_at = 0, 0.0
        self._worker: ForkedWorker | None = None
        self._warm_up = WarmUp()
        self._told_detour = self._told_network = False
        self._server = self._new_server()
        try:
            while not self._server.loaded(shadow.load_seconds):
                pass
        except BaseException:
            self._server.close()
            raise
        self.model, self.sha256 = self._server.model, self._server.sha256
        if self._server.network not in ("on", "off"):
            logger.warning("%s reaches the network (%s): docs/operations.md", self.model, self._server.network)

    def chunk_rows(self, most: int) -> int:
        """How many rows to ask at once, so that a chunk takes a quarter of the deadline at most, and of a frame."""
        return self.pace.rows(most)

    def ask(self, chunk: Chunk) -> None:
        """Hand a chunk to the model. Collect answers when more than `IN_FLIGHT` are under way."""
        if not self._pending:
            self._waiting_since = self._pumped = monotonic()
        self._pending.append(chunk)
        self._send(chunk)

    @property
    def in_flight(self) -> int:
        """How many chunks are not answered yet."""
        return len(self._pending)

    def pump(self) -> None:
        """Pass on what is under way in either direction. Called often, so that the model never waits for a question."""
        if self._worker is not None:
            self._worker.move()

    def collect(self, *, wait: bool) -> None:
        """Take in answers: all that are there, and with `wait` at least one.

        Waits no longer than the deadlines, the restarts and the circuit allow.
        """
        self._waiting_since += max(0.0, monotonic() - self._pumped - AWAY_SECONDS)
        self._collect(wait=wait)
        self._pumped = monotonic()

    def _collect(self, *, wait: bool) -> None:
        while self._pending:
            chunk = self._pending[0]
            if chunk.answers is None:
                overdue = monotonic() > self._due()
                cold = self.pace.cold
                answers = self._next_answers(chunk, wait=wait)
                if answers is not None:
                    took = monotonic() - self._waiting_since
                    if cold:
                        self._warm_up.note(chunk.keys, chunk.values, answers, took, self.pace.usual(len(chunk.keys)))
                    self._answered(chunk, answers, None if cold else took)
                elif wait or overdue or self._worker is None or self._worker.gone:
                    self._recover(chunk)
                    if chunk.answers is None:
                        continue
                else:
                    return
            self._pending.popleft()
            self._waiting_since = monotonic()
            wait = False

    def report(self) -> dict[str, object]:
        """The model's part of a vitals record."""
        tried = reached_out(self._server.pid) if self._server.network == "off" else 0
        if tried and not self._told_network:
            self._told_network = True
            logger.warning("%s wants to reach the network, and has none; network = true gives it one", self.model)
        about: dict[str, object] = {
            "name": self.model,
            "sha256": self.sha256,
            "network": self._server.network,
            "network_missed": tried,
            "single_row_share": self.share,
        }
        return {**about, **self.vitals.record(self.circuit, monotonic())}

    def close(self) -> None:
        """End the worker and its fork server."""
        self.vitals.server_ends()
        if self._worker is not None:
            self._server.end(self._worker)
            self._worker = None
        self._server.close()

    def _due(self) -> float:
        return self._waiting_since + self._limit(self._pending[0].keys)

    def _limit(self, keys: Sequence[bytes]) -> float:
        """How many seconds these rows may take together."""
        return self.pace.limit(len(keys), self.circuit.patience(monotonic()))

    def _next_answers(self, chunk: Chunk, *, wait: bool) -> Answers | None:
        """The answers that are due; None when there are none yet (without `wait`) or there will be none."""
        if self._worker is None:
            return None
        seconds = self._due() - monotonic() if wait else 0.0
        return self._receive(self._worker, chunk.keys, chunk.values, seconds)

    def _receive(
        self, worker: ForkedWorker, keys: Sequence[bytes], values: Sequence[bytes], seconds: float
    ) -> Answers | None:
        """What a worker answers to a question in time. It is spoilt by an answer that is none."""
        block = worker.next_answer(seconds)
        if block is None:
            return None
        try:
            answers = read_answers(block, keys, values)
        except Garbled as error:
            worker.spoil(str(error))
            return None
        self.pace.heard(len(keys), len(block))
        self.vitals.took(answers, len(keys))
        if answers.detours.reason and not self._told_detour:
            self._told_detour = True
            logger.warning("%s costs more than it has to: %s", self.model, answers.detours.reason)
        return answers

    def _answered(self, chunk: Chunk, answers: Answers, seconds: float | None) -> None:
        chunk.answers = answers
        self.vitals.batches += 1
        if seconds is not None:
            self.pace.took(len(chunk.keys), seconds)
        self.circuit.worked()

    def _recover(self, chunk: Chunk) -> None:
        """The model did not answer this chunk: find the guilty rows, then ask the later chunks again."""
        if self._end_worker(self._waiting_since).kind != "retired":
            # Also a row that was alone is asked once more: the machine, not the row, may have been at fault.
            deadline = Deadline.after(self.circuit.patience(monotonic()))
            chunk.answers = self._isolate(chunk.keys, chunk.values, deadline)
        for waiting in self._pending:
            if waiting.answers is None:
                self._send(waiting)
        self._waiting_since = monotonic()

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
                part = failed_answers(part_keys, part_values, cause)
            whole.append(part, start)
        return whole

    def _try(
        self, keys: Sequence[bytes], values: Sequence[bytes], deadline: Deadline
    ) -> tuple[Answers | None, tuple[str, str]]:
        """Ask one part and wait for it; on failure, why."""
        while not deadline.passed and self._ready():
            worker, since = self._worker, monotonic()
            assert worker is not None  # noqa: S101
            worker.ask(pack_question(keys, values, self.share), len(keys))
            answers = self._receive(worker, keys, values, self._limit(keys))
            if answers is not None:
                return answers, ("", "")
            ended = self._end_worker(since)
            if ended.kind != "retired":
                return None, ended.cause
        return None, self._unavailable()

    def _send(self, chunk: Chunk) -> None:
        """Put a chunk on its way; where the model must not or cannot be asked, that is its answer."""
        if self._ready() and self._worker is not None:
            self._worker.ask(pack_question(chunk.keys, chunk.values, self.share), len(chunk.keys))
        else:
            chunk.answers = failed_answers(chunk.keys, chunk.values, self._unavailable())

    def _unavailable(self) -> tuple[str, str]:
        if not self.circuit.allows(monotonic()):
            return "shadow_unavailable", self.circuit.reason
        return "shadow_unavailable", "the model could not be started, or asked, in time"

    def _end_worker(self, since: float) -> WorkerExit:
        """End a worker that was asked at a time and hangs, is dead or had enough; returns what it died of."""
        worker, self._worker = self._worker, None
        self.pace.cold = False
        if worker is None:
            return WorkerExit("crash", "the model could not be started")
        ended = self._server.end(worker)
        self.vitals.deaths[ended.kind] += 1
        self.vitals.pid = 0
        if ended.kind == "retired":
            logger.info("%s: %s; a fresh process goes on", self.model, ended.text)
            return ended
        now = monotonic()
        self._log_exit(ended, now)
        self.circuit.died(now)
        self.circuit.lost(now - since, now)
        return ended

    def _log_exit(self, ended: WorkerExit, now: float) -> None:
        """Log a death, unless one was told just now: a model may die many times a second."""
        if now >= self._log_at:
            untold = self.vitals.deaths.total() - self._logged - 1
            since = f" ({untold} more since the last of these lines)" if untold else ""
            logger.warning("%s: %s; it is started again%s", self.model, ended.text, since)
            self._logged, self._log_at = self.vitals.deaths.total(), now + LOG_SECONDS

    def _ready(self) -> bool:
        """Have a worker; fork one, or load the model anew, when there is none and the circuit allows it."""
        for _ in range(2):
            if not self.circuit.allows(monotonic()):
                return False
            if self._worker is not None or not self._loaded():
                break
            since, self._worker = monotonic(), self._server.fork()
            if self._worker is None:
                self._replace_server()
                continue
            self.vitals.pid = self._worker.pid
            if not self._warm_up.warm(self._worker):
                self._end_worker(since)
            self._waiting_since = monotonic()  # what it took to have a worker is no row's time
        return self._worker is not None

    def _loaded(self) -> bool:
        """Whether the model is loaded. One that cannot be loaded again is one that has to rest."""
        since = monotonic()
        if self._server.gone:
            self._replace_server()
        try:
            if self._server.loaded(min(RELOAD_SECONDS, self.circuit.patience(since))):
                return True
            now = monotonic()
            self.circuit.lost(now - since, now)
        except BundleError as error:
            logger.warning("%s cannot be loaded again: %s", self.model, error)
            self._replace_server()
            self.circuit.open("could not be loaded again", monotonic())
        return False

    def _replace_server(self) -> None:
        self.vitals.server_ends()
        self._server.close()
        self._server = self._new_server()

    def _new_server(self) -> ForkServerProcess:
        server = ForkServerProcess(self.shadow, self.bundle, self.share)
        self.pace.cold = True
        self.vitals.loads += 1
        self.vitals.server = server.pid
        return server
