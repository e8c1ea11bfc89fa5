"""What a model process has cost and survived, over all its lives."""

import contextlib
from collections import Counter
from dataclasses import dataclass, field

import psutil

from shadowbus.replay.model.circuit_breaker import CircuitBreaker
from shadowbus.replay.model.messages import Answers, Detours

WAYS = ("matrix", "batch", "alone", "missing")
"""What may go wrong in a model's process without a row being at fault; see `Detours`."""


@dataclass(slots=True)
class ModelVitals:
    """What the model has cost and survived so far; no number in it ever goes down but memory."""

    rows: int = 0
    together: int = 0  # of the rows those that were asked in batches
    batches: int = 0
    batch_ms: float = 0.0
    loads: int = 0
    detours: Detours = field(default_factory=Detours)
    deaths: Counter[str] = field(default_factory=Counter)  # by kind, see `exit_status.py`
    server: int = 0
    pid: int = 0  # of the newest worker
    _ended_cpu: float = 0.0
    _newest_cpu: float = 0.0

    def took(self, answers: Answers, rows: int) -> None:
        """Count the answers to this many rows."""
        self.rows += rows
        self.together += rows - len(answers.latencies)
        self.batch_ms += answers.batch_ms
        self.detours.add(answers.detours)

    def server_ends(self) -> None:
        """Call this before a fork server is closed: what it and its workers have used counts from now on."""
        self._newest_cpu = self.cpu_s()
        self._ended_cpu, self.server, self.pid = self._newest_cpu, 0, 0

    def cpu_s(self) -> float:
        """CPU seconds of the fork server, its worker, those before and whatever they started."""
        alive = sum(_cpu(pid) for pid in (self.server, self.pid) if pid)
        self._newest_cpu = max(self._newest_cpu, self._ended_cpu + alive)
        return self._newest_cpu

    def record(self, circuit: CircuitBreaker, now: float) -> dict[str, object]:
        """As the vitals topic has it."""
        is_open = not circuit.allows(now)
        return {
            "rows": self.rows,
            "batches": self.batches,
            "batch_ms_per_row": self.batch_ms / self.together if self.together else None,
            "detours": {way: getattr(self.detours, way) for way in WAYS},
            "given_up": self.detours.reason or None,
            "restarts": self.deaths.total(),
            "deaths": dict(self.deaths),
            "loads": self.loads,
            "cpu_s": self.cpu_s(),
            "resident_bytes": sum(_resident(pid) for pid in (self.server, self.pid) if pid),
            "circuit": "open" if is_open else "closed",
            "circuit_opened": circuit.opened,
            "circuit_reason": circuit.reason if is_open else None,
        }


def _cpu(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return sum(psutil.Process(pid).cpu_times()[:4])  # user and system, its own and of the children it has reaped
    return 0.0


def _resident(pid: int) -> int:
    """The resident bytes of a process; where the system says so, a page shared with others counts once in all."""
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid).memory_full_info()
        return int(getattr(found, "pss", found.rss))
    return 0
