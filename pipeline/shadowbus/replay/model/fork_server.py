"""The fork server of a model, seen from the parent: loads the bundle in a process of its own and forks workers there.

What it says is not believed either: it has opened the bundle. A process is only ever killed while its number cannot
belong to another: before it is reaped, or through a descriptor of it.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from shadowbus.clock import Deadline
from shadowbus.errors import BundleError
from shadowbus.replay.model.child.limits import WATCH_SECONDS, loading_bytes
from shadowbus.replay.model.environment import model_environment
from shadowbus.replay.model.exit_status import ExitReport, ObservedExit, WorkerExit, exit_of
from shadowbus.replay.model.forked_worker import ForkedWorker
from shadowbus.replay.model.messages import FORK, GONE, KILL
from shadowbus.replay.model.pipe import Pipe
from shadowbus.replay.model.processes import is_dead, kill_session
from shadowbus.replay.model.stderr_tail import StderrTail, in_one_line
from shadowbus.settings import ShadowSettings

logger = logging.getLogger("shadowbus.model")

REPLY_SECONDS = 5.0
CLOSE_SECONDS = 2.0


class _Loaded(Struct):
    """What a fork server says once: an error, or which model it has and why it still has the network."""

    error: str = ""
    model: str = ""
    sha256: str = ""
    network: str = ""


_loaded, _report = Decoder(_Loaded).decode, Decoder(ExitReport).decode


class ForkServerProcess:
    """One life of a fork server. It answers what it is asked at once, or is replaced."""

    def __init__(self, shadow: ShadowSettings, bundle: Path, single_row_share: float) -> None:
        self.shadow, self.bundle = shadow, bundle
        self.model = self.sha256 = ""
        self.network = "on" if shadow.network else "off"
        self._deadline = Deadline.after(shadow.load_seconds)
        self._control, there = socket.socketpair()
        hearing, saying = os.pipe()
        command = [sys.executable, "-m", "shadowbus.replay.model.child.start"]
        command += ["--control", str(there.fileno()), "--bundle", str(bundle), "--threads", str(shadow.threads)]
        command += ["--memory-mb", str(shadow.memory_mb), "--single-row-share", str(single_row_share)]
        command += ["--allow-pickle"] if shadow.allow_pickle else []
        command += [word for name in shadow.trusted_types for word in ("--trust", name)]
        command += ["--network"] if shadow.network else []
        self._process = subprocess.Popen(
            command,
            pass_fds=[there.fileno()],
            env=model_environment(os.environ, shadow.environment, shadow.threads),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=saying,
            start_new_session=True,  # no signal that is sent to a group reaches across, in either direction
        )
        there.close()
        os.close(saying)
        self.stderr = StderrTail(hearing)

    @property
    def pid(self) -> int:
        """The fork server's process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the fork server has ended. It is not reaped by this, so its number stays its own."""
        return self._process.returncode is not None or is_dead(self.pid)

    def loaded(self, seconds: float) -> bool:
        """Whether the model is loaded; waits so long for it.

        Raises:
            BundleError: It cannot be loaded, or was not in the time and the memory the settings allow.
        """
        if self.model:
            return True
        said = self._said(Deadline.after(min(seconds, self._deadline.remaining())))
        if said is None:
            if self._deadline.passed:
                raise BundleError(self._failure(f"did not load within {self.shadow.load_seconds:g} s"))
            return False
        try:
            answer = _loaded(said)
        except DecodeError:
            raise BundleError(self._failure("crashed while it was loaded")) from None
        if answer.error or not answer.model:
            raise BundleError(answer.error or self._failure("has no name"))
        self.model, self.sha256 = answer.model, answer.sha256
        if answer.network:
            self.network = f"not isolated: {answer.network}"
        self._control.settimeout(REPLY_SECONDS)
        return True

    def _said(self, deadline: Deadline) -> bytes | None:
        """What it says while it loads: nothing at its end, None when it says nothing in time."""
        while True:
            self._control.settimeout(max(0.001, min(WATCH_SECONDS, deadline.remaining())))
            try:
                return self._control.recv(65_536)
            except TimeoutError:
                self._check_memory()
                if deadline.passed:
                    return None
            except OSError:
                return b""

    def _check_memory(self) -> None:
        """A bundle may unpack to any size, also where the system does not refuse it."""
        with contextlib.suppress(psutil.Error):
            if psutil.Process(self.pid).memory_info().rss > loading_bytes(self.shadow.memory_mb, self.shadow.threads):
                self._kill()
                raise BundleError(
                    f"The model in {self.bundle} takes more than {self.shadow.memory_mb} MB of memory while it is "
                    "loaded; raise memory_mb of that shadow if it may."
                )

    def fork(self) -> ForkedWorker | None:
        """A new worker, or None when the fork server does not answer."""
        descriptors: list[int] = []
        try:
            self._control.sendall(FORK)
            message, descriptors, _, _ = socket.recv_fds(self._control, 64, 2)
            pid = int(message)
            if len(descriptors) == 2 and psutil.Process(pid).ppid() == self.pid:
                alive = os.pidfd_open(pid) if sys.platform == "linux" else None
                return ForkedWorker(Pipe(*descriptors), pid, alive)
        except (OSError, ValueError, psutil.Error) as error:
            logger.warning("%s: its fork server does not fork: %s", self.model, error)
        for descriptor in descriptors:
            os.close(descriptor)
        self._kill()
        return None

    def end(self, worker: ForkedWorker) -> WorkerExit:
        """End a worker that hangs or is dead, and all it has started; returns why."""
        seen = ObservedExit(hung=not worker.gone, garbled=worker.garbled, answered=worker.answered > 0)
        report: ExitReport | None = None
        with contextlib.suppress(OSError, DecodeError):
            self._control.sendall(KILL if seen.hung or seen.garbled else GONE)
            report = _report(self._control.recv(4_096))
        if report is None:  # the fork server is gone itself, or no longer does what it is asked
            self._kill()
        worker.close()
        limits = (self.shadow.timeout_ms, self.shadow.memory_mb)
        return exit_of(report, self.stderr.take(), seen, limits)

    def close(self) -> None:
        """Ask the process to end by closing its socket, wait a moment, kill."""
        self._control.close()
        deadline = Deadline.after(CLOSE_SECONDS if self.model else 0.0)  # while it loads it listens to nobody
        while not self.gone and not deadline.passed:
            select.select([], [], [], 0.005)
        self._kill()
        self._process.wait()
        self.stderr.close()

    def _kill(self) -> None:
        """Kill it and whatever is in its session: while it is not reaped, no other session has its number."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        kill_session(self.pid)

    def _failure(self, what: str) -> str:
        said = in_one_line(self.stderr.take())
        return f"The model in {self.bundle} {what}{f': {said}' if said else ''}."
