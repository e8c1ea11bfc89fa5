"""What a model's process may take from the machine, and that nothing of it outlives the one who watches it."""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MEGABYTE = 1024 * 1024

THREAD_ROOM = 64 * MEGABYTE
"""What a thread takes without having computed anything: its stack, and the buffer that BLAS keeps for it."""

LIBRARY_ROOM = 64 * MEGABYTE
"""What becomes resident of libraries that were loaded and are used for the first time; it is no model's fault."""

LOADING_ROOM = 1024 * MEGABYTE
"""What importing the libraries of a model may take while it is loaded, beside what the model itself may."""

LARGEST_FILE = 1024 * MEGABYTE
MOST_FILES = 1024
"""How large a file the worker may write, and how many it may have open at once."""

WATCH_SECONDS = 0.05
"""How often somebody looks at what a model's process takes."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory a model's process had when the model was loaded, and how much more it may take, in bytes.

    Two limits, because neither is enough (`docs/decisions/0013-model-memory.md`): writable memory beyond the limit is
    refused by the kernel, which the model sees as an exception; resident memory of any kind is watched from outside.
    """

    resident: int
    writable: int
    room: int

    @classmethod
    def now(cls, megabytes: int, threads: int) -> "Memory":
        """What this process has, and may take more."""
        resident, writable = _taken(psutil.Process())
        return cls(resident, writable, megabytes * MEGABYTE + threads * THREAD_ROOM)

    def refuse_more(self) -> None:
        """From now on an allocation beyond the limit fails in this process, and in whatever it starts."""
        if sys.platform == "linux":
            _limit(resource.RLIMIT_DATA, self.writable + self.room)

    def exceeded(self, pid: int) -> bool:
        """Whether a process is resident with more than it may."""
        with contextlib.suppress(psutil.Error):
            return _taken(psutil.Process(pid))[0] > self.resident + self.room + LIBRARY_ROOM
        return False

    def grown(self) -> int:
        """By how much this process has grown, in bytes."""
        resident, writable = _taken(psutil.Process())
        return max(resident - self.resident, writable - self.writable)


def loading_bytes(megabytes: int, threads: int) -> int:
    """How much memory loading a model may take: what the model may, and what its libraries need."""
    return megabytes * MEGABYTE + threads * THREAD_ROOM + LOADING_ROOM


@contextlib.contextmanager
def loading(megabytes: int, threads: int) -> Iterator[None]:
    """While a model is loaded, an allocation beyond what that may take fails."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if sys.platform == "linux":
        most = _taken(psutil.Process())[1] + loading_bytes(megabytes, threads)
        resource.setrlimit(resource.RLIMIT_DATA, (_lower(most, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _lower(limit: int, hard: int) -> int:
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)


def _taken(process: psutil.Process) -> tuple[int, int]:
    found = process.memory_info()
    return found.rss, getattr(found, "data", 0)


def detach() -> None:
    """Make this process (the fork server) hear no signal that is meant for the worker, and the first to go for memory.

    What a model's process starts and leaves behind becomes the fork server's child.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    _no_core()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def end_with(control: socket.socket, *, on: bool) -> None:
    """Whether this process dies the moment the other end of a socket closes, whatever it is doing."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    if on and select.select([control], [], [], 0)[0]:  # it closed before anybody would have said so
        raise SystemExit(1)


def end_with_parent(parent: int) -> None:
    """From now on this process, just forked, dies with the one that forked it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def become_worker(server: int, memory: Memory) -> None:
    """Make this process, just forked, one that ends with its fork server and takes no more than it may."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    end_with_parent(server)
    _limit(resource.RLIMIT_FSIZE, LARGEST_FILE)
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    memory.refuse_more()


def _no_core() -> None:
    """A crash that is found by crashing it again must not write gigabytes each time."""
    _limit(resource.RLIMIT_CORE, 0)


def _limit(of_what: int, most: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    lower = _lower(most, resource.getrlimit(of_what)[1])
    resource.setrlimit(of_what, (lower, lower))
