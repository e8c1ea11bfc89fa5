"""Why a model's process came to its end, as the rows that caused it bear it."""

import signal
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from shadowbus.replay.model.messages import TEXT_CHARACTERS
from shadowbus.replay.model.processes import MOST_TASKS
from shadowbus.replay.model.stderr_tail import in_one_line

RETIRED = 75
"""The exit code of a worker that has grown and wants to be replaced by a fresh one; no row is to blame."""

Kind = Literal["crash", "timeout", "memory", "tasks", "garbled", "retired"]


class ExitReport(Struct):
    """How a worker ended, by its fork server: the signal or exit code, the limit it exceeded, whether it was killed."""

    signal: int = 0
    code: int = 0
    over: Literal["", "memory", "tasks"] = ""
    killed: bool = False


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """One end of a model's process: of what kind, and in words."""

    kind: Kind
    text: str

    @property
    def cause(self) -> tuple[str, str]:
        """Status and text of the row that is guilty of it."""
        return "shadow_timeout" if self.kind == "timeout" else "shadow_crash", self.text


@dataclass(frozen=True, slots=True)
class ObservedExit:
    """What a worker's parent saw of it before its end: if it hung, what it gave that is no answer, if it answered."""

    hung: bool
    garbled: str
    answered: bool


def exit_of(report: ExitReport | None, words: str, seen: ObservedExit, limits: tuple[float, int]) -> WorkerExit:
    """What became of a worker.

    Args:
        report: What its fork server saw; None where that is gone too.
        words: What it said last on standard error.
        seen: What its parent saw.
        limits: What it was allowed: milliseconds for a row, megabytes beyond what it had when loaded.
    """
    kind, text = _plain(report, seen, limits)
    said = in_one_line(words)
    return WorkerExit(kind, (f"{text}: {said}" if said and kind != "retired" else text)[:TEXT_CHARACTERS])


def _plain(report: ExitReport | None, seen: ObservedExit, limits: tuple[float, int]) -> tuple[Kind, str]:
    timeout_ms, memory_mb = limits
    found = report or ExitReport()
    if found.over == "memory":
        return "memory", f"the model took more than {memory_mb} MB of memory beyond what it had when loaded"
    if found.over == "tasks":
        return "tasks", f"the model started more than {MOST_TASKS} processes and threads"
    if found.code == RETIRED and seen.answered:
        return "retired", "the model's memory had grown"
    if seen.hung:
        return "timeout", f"no answer within {timeout_ms:g} ms"
    if seen.garbled:
        return "garbled", f"the model {seen.garbled}"
    if found.killed:
        return "garbled", "the model closed the channel to its worker"
    if found.signal:
        return "crash", f"the model's process died of {_name(found.signal)}"
    return (
        "crash",
        f"the model's process ended itself with exit code {found.code}" if report else "the model's process died",
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
