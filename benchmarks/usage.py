"""Processor time and memory of process trees, sampled from outside."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 0.2


@dataclass(frozen=True)
class Sample:
    """Resident memory at one moment: of the processes that were started, and of their children."""

    at: float
    started_mib: float
    children_mib: float

    @property
    def mib(self) -> float:
        """All of it. Pages that a forked child shares with its parent count twice."""
        return self.started_mib + self.children_mib


class Usage:
    """What some processes and all their children use, while the `with` lasts."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.samples: list[Sample] = []
        self._roots = [psutil.Process(pid) for pid in pids]
        self._seconds: dict[int, float] = {}
        self._over, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peak_mib(self) -> float:
        """The most resident memory of any sample."""
        return max((sample.mib for sample in self.samples), default=0.0)

    def cpu_seconds(self) -> float:
        """Processor seconds so far, also of children that are gone."""
        self._sample()
        return sum(self._seconds.values())

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            started = sum(self._look(root) for root in self._roots)
            children = sum(self._look(child) for root in self._roots for child in _children(root))
            self.samples.append(Sample(time.monotonic(), started / 2**20, children / 2**20))

    def _look(self, process: psutil.Process) -> int:
        try:
            times = process.cpu_times()
            self._seconds[process.pid] = times.user + times.system
            return process.memory_info().rss
        except psutil.Error:
            return 0


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def broker_pids() -> list[int]:
    """The brokers that this process has started."""
    return [child.pid for child in psutil.Process().children(recursive=True) if "java" in child.name()]
