"""Why a model's process came to its end, as the rows that caused it bear it."""

import signal
from dataclasses import dataclass
from typing import Any, Literal

from shadowbus.replay.last_words import in_one_line

TEXT_CHARACTERS = 300

RETIRED = 75
"""The exit code of a worker that has grown and wants to be replaced by a fresh one; no row is to blame."""

Kind = Literal["crash", "timeout", "memory", "garbled", "retired"]


@dataclass(frozen=True, slots=True)
class Death:
    """One end of a model's process: of what kind, and in words."""

    kind: Kind
    text: str

    @property
    def cause(self) -> tuple[str, str]:
        """Status and text of the row that is guilty of it."""
        return "shadow_timeout" if self.kind == "timeout" else "shadow_crash", self.text


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker's parent saw of it before its end: whether it hung, wrote what is no answer, ever answered."""

    hung: bool
    garbled: bool
    answered: bool


def death_of(report: dict[str, Any], words: str, seen: Seen, limits: tuple[float, int]) -> Death:
    """What became of a worker.

    Args:
        report: What its keeper saw: `signal` and `code` it ended with, whether its `memory` was the reason, and whether
            the keeper `killed` it.
        words: What it said last on standard error.
        seen: What its parent saw.
        limits: What it was allowed: milliseconds for a row, megabytes beyond what it had when loaded.
    """
    kind, text = _plain(report, seen, limits)
    said = in_one_line(words)
    return Death(kind, (f"{text}: {said}" if said and kind != "retired" else text)[:TEXT_CHARACTERS])


def _plain(report: dict[str, Any], seen: Seen, limits: tuple[float, int]) -> tuple[Kind, str]:
    timeout_ms, memory_mb = limits
    number, code = report.get("signal", 0), report.get("code", 0)
    if report.get("memory"):
        return "memory", f"the model took more than {memory_mb} MB of memory beyond what it had when loaded"
    if code == RETIRED and seen.answered:
        return "retired", "the model's memory had grown"
    if seen.hung:
        return "timeout", f"no answer within {timeout_ms:g} ms"
    if seen.garbled:
        return "garbled", "the model wrote into the channel to its worker"
    if report.get("killed"):
        return "garbled", "the model closed the channel to its worker"
    if number:
        return "crash", f"the model's process died of {_name(number)}"
    return "crash", f"the model's process ended itself with exit code {code}" if report else "the model's process died"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
