"""The keeper of a model, seen from the parent: loads the bundle in a process of its own and forks workers there."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from shadowbus.clock import Deadline
from shadowbus.errors import BundleError
from shadowbus.replay.death import Death, Seen, death_of
from shadowbus.replay.last_words import LastWords, in_one_line
from shadowbus.replay.model_messages import FORK, GONE, KILL
from shadowbus.replay.model_threads import thread_variables
from shadowbus.replay.model_worker import ModelWorker
from shadowbus.replay.pipe import Pipe
from shadowbus.settings import ShadowSettings

REPLY_SECONDS = 5.0
CLOSE_SECONDS = 2.0


class ModelKeeper:
    """One life of a keeper. It answers what it is asked at once, or is replaced."""

    def __init__(self, shadow: ShadowSettings, bundle: Path, single_row_share: float) -> None:
        self.shadow, self.bundle = shadow, bundle
        self.model = self.sha256 = ""
        self._deadline = Deadline.after(shadow.load_seconds)
        self._control, there = socket.socketpair()
        hearing, saying = os.pipe()
        command = [sys.executable, "-m", "shadowbus.replay.model_child"]
        command += ["--control", str(there.fileno()), "--bundle", str(bundle), "--threads", str(shadow.threads)]
        command += ["--memory-mb", str(shadow.memory_mb), "--single-row-share", str(single_row_share)]
        command += ["--allow-pickle"] if shadow.allow_pickle else []
        self._process = subprocess.Popen(
            command,
            pass_fds=[there.fileno()],
            env={**os.environ, **thread_variables(shadow.threads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=saying,
            start_new_session=True,  # no signal that is sent to a group reaches across, in either direction
        )
        there.close()
        os.close(saying)
        self.last_words = LastWords(hearing)

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the keeper has ended."""
        return self._process.poll() is not None

    def loaded(self, seconds: float) -> bool:
        """Whether the model is loaded; waits so long for it.

        Raises:
            BundleError: It cannot be loaded, or was not in the time the settings allow.
        """
        if self.model:
            return True
        self._control.settimeout(max(0.001, min(seconds, self._deadline.remaining())))
        try:
            said = self._control.recv(65_536)
        except TimeoutError:
            if self._deadline.passed:
                raise BundleError(self._failure(f"did not load within {self.shadow.load_seconds:g} s")) from None
            return False
        except OSError:
            said = b""
        if not said:
            raise BundleError(self._failure("crashed while it was loaded"))
        answer = orjson.loads(said)
        if "error" in answer:
            raise BundleError(answer["error"])
        self.model, self.sha256 = answer["model"], answer["sha256"]
        self._control.settimeout(REPLY_SECONDS)
        return True

    def fork(self) -> ModelWorker | None:
        """A new worker, or None when the keeper does not answer."""
        with contextlib.suppress(OSError):
            self._control.sendall(FORK)
            message, descriptors, _, _ = socket.recv_fds(self._control, 64, 2)
            if len(descriptors) == 2:
                return ModelWorker(Pipe(*descriptors), int(message))
        return None

    def end(self, worker: ModelWorker) -> Death:
        """End a worker that hangs or is dead, and all it has started; returns why."""
        seen = Seen(hung=not worker.gone, garbled=worker.garbled, answered=worker.answered > 0)
        report: dict[str, Any] = {}
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            self._control.sendall(KILL if seen.hung or seen.garbled else GONE)
            report = orjson.loads(self._control.recv(4_096))
        if not report:  # the keeper is gone itself
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, signal.SIGKILL)
        worker.close()
        limits = (self.shadow.timeout_ms, self.shadow.memory_mb)
        return death_of(report, self.last_words.take(), seen, limits)

    def close(self) -> None:
        """Ask the process to end by closing its socket, wait a moment, kill."""
        self._control.close()
        if not self.model:  # still loading: it listens to nobody
            self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        self._kill()
        self._process.wait()
        self.last_words.close()

    def _kill(self) -> None:
        """What loading the model has started is in the keeper's group too."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _failure(self, what: str) -> str:
        said = in_one_line(self.last_words.take())
        return f"The model in {self.bundle} {what}{f': {said}' if said else ''}."
