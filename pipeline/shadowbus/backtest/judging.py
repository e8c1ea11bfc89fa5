"""The judge of a backtest, and when it writes what waits to disk."""

import contextlib
import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from shadowbus.compare import Comparators, make_comparator
from shadowbus.errors import ShadowbusError
from shadowbus.judge.stage import JudgeStage
from shadowbus.settings import Settings, ShadowSettings
from shadowbus.stage import Input, Outputs, RecordBatch

ONE = frozenset({0})
"""The partition that there is."""

KEEP_EVERY = 20_000
"""How many comparisons and labels come between two writes of the judge's state to disk."""


class Judging(Protocol):
    """Takes comparisons and labels; their outcomes may come later, in their order."""

    def take(self, piece: RecordBatch, now_ms: int, lags: Mapping[Input, int]) -> Iterable[Outputs]:
        """Take records; returns what is done by now."""
        ...

    def rest(self) -> Iterable[Outputs]:
        """Wait for all that was taken."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class JudgeHere:
    """The judge in this process.

    Args:
        settings: With one partition.
        shadows: Those whose comparisons come.
        state: Where it may keep what waits.
    """

    def __init__(self, settings: Settings, shadows: Iterable[ShadowSettings], state: Path) -> None:
        comparators = Comparators({one.name: make_comparator(one.task, one.options) for one in shadows})
        self.stage = JudgeStage(ONE, settings=settings, comparators=comparators, folder=state, worker="judge")
        self.stage.resume_at({})
        self._since_kept = 0

    def take(self, piece: RecordBatch, now_ms: int, lags: Mapping[Input, int]) -> Iterator[Outputs]:
        """All of it is done at once."""
        yield self.stage.process([piece], now_ms)
        self._since_kept += len(piece.offsets)
        if self._since_kept >= KEEP_EVERY:
            self._since_kept = 0
            # Comparisons are never known to be at their end: what the models still answer is one of them.
            yield self.stage.tick(now_ms, {("comparisons", 0): 1, ("labels", 0): lags.get(("labels", 0), 0)})
            self.stage.checkpoint(now_ms)
            self.stage.committed()

    def rest(self) -> Iterator[Outputs]:
        """Nothing is ever under way."""
        yield from ()

    def close(self) -> None:
        """Release the folder."""
        self.stage.close()


BEHIND = 4
"""How many slices are with the judge at once."""

END_SECONDS = 10.0

Question = tuple[RecordBatch, int, Mapping[Input, int]]


class JudgeBeside:
    """The judge in a process of its own; the same arguments as `JudgeHere`."""

    def __init__(self, settings: Settings, shadows: Sequence[ShadowSettings], state: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._under_way = 0
        self._process = spawn.Process(target=_serve, args=(theirs, settings, tuple(shadows), state), daemon=True)
        self._process.start()
        theirs.close()

    def take(self, piece: RecordBatch, now_ms: int, lags: Mapping[Input, int]) -> Iterator[Outputs]:
        """Hand it over; returns what came of what was taken `BEHIND` slices before."""
        self._ask((piece, now_ms, dict(lags)))
        if self._under_way > BEHIND:
            yield from self._answer()

    def rest(self) -> Iterator[Outputs]:
        """Wait for all that was taken."""
        while self._under_way:
            yield from self._answer()

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _ask(self, question: Question) -> None:
        try:
            self._ours.send(question)
        except OSError as error:
            raise _gone(self._process.exitcode) from error
        self._under_way += 1

    def _answer(self) -> list[Outputs]:
        try:
            found: list[Outputs] | str = self._ours.recv()
        except (EOFError, OSError) as error:
            raise _gone(self._process.exitcode) from error
        if isinstance(found, str):
            raise ShadowbusError(f"The judge failed: {found}")
        self._under_way -= 1
        return found


def _gone(code: int | None) -> ShadowbusError:
    return ShadowbusError(f"The judge's process has ended (exit code {code}).")


def _serve(connection: Connection, settings: Settings, shadows: Sequence[ShadowSettings], state: Path) -> None:
    """Answer until the other side closes. Questions are read by a thread: neither side waits to be read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    asked: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, asked), daemon=True).start()
    with contextlib.suppress(OSError):
        try:
            judge = JudgeHere(settings, shadows, state)
        except ShadowbusError as error:
            connection.send(str(error))
            return
        with contextlib.closing(judge):
            while (question := asked.get()) is not None:
                try:
                    connection.send(list(judge.take(*question)))
                except ShadowbusError as error:
                    connection.send(str(error))
                    return


def _read(connection: Connection, asked: "queue.SimpleQueue[Question | None]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked.put(connection.recv())
    asked.put(None)
