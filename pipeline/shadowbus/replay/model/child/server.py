"""The model's side: a fork server that loads the bundle once, and the worker it forks to predict.

The fork server is spawned, loads the model and predicts nothing. It forks a worker when its parent asks for one. That
worker starts with the model loaded, so a crash costs milliseconds, not the seconds that Python and a numerical library
take to start (`docs/decisions/0004-model-process.md`). The fork server ends the worker, and whatever that has started,
when the parent asks, when it takes too much memory, and when the control socket closes because the parent is gone.

The worker answers questions from a pipe of its own until that closes (`predictor.py`).
"""

import argparse
import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
import traceback
from collections.abc import Sequence
from pathlib import Path

import orjson
import psutil

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import ShadowbusError
from shadowbus.models.model import Model
from shadowbus.replay.model.child.error_text import NO_NETWORK, error_text, misses_network
from shadowbus.replay.model.child.limits import (
    MEGABYTE,
    WATCH_SECONDS,
    Memory,
    become_worker,
    detach,
    end_with,
    loading,
)
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.environment import limit_joblib
from shadowbus.replay.model.exit_status import RETIRED
from shadowbus.replay.model.messages import FORK, GONE, KILL, pack_answers
from shadowbus.replay.model.pipe import Pipe, make_pipes
from shadowbus.replay.model.processes import is_dead, run_in_fork, too_many_tasks

STRAY_SECONDS = 1.0
STDERR_SECONDS = 0.1
"""How long a worker that is to be killed has to say where it was, and one that is dying to be dead."""


def main(arguments: Sequence[str], network: str = "") -> None:
    """Keep one model: load it, say so, then fork a worker whenever the parent asks for one.

    Args:
        arguments: What to load, and within which limits.
        network: Why the network could not be taken from this process, if it should have been.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--single-row-share", type=float, required=True)
    parser.add_argument("--allow-pickle", action="store_true")
    parser.add_argument("--trust", action="append", default=[])
    parser.add_argument("--network", action="store_true")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    detach()
    control = socket.socket(fileno=options.control)
    end_with(control, on=True)
    advice = "" if options.network or network else NO_NETWORK
    try:
        with loading(options.memory_mb, options.threads):
            pickle, trusted = options.allow_pickle, options.trust
            model, sha256 = _load(options.bundle, options.memory_mb, allow_pickle=pickle, trusted=trusted)
    except BaseException as error:
        control.sendall(orjson.dumps({"error": _why_not(error, options.bundle, options.memory_mb, advice)}))
        return
    end_with(control, on=False)
    limit_joblib(options.threads)
    # What is loaded stays, and a chunk of rows makes no cycles: a collection would only hold up a prediction.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    control.sendall(orjson.dumps({"model": model.model, "sha256": sha256, "network": network}))
    memory = Memory.now(options.memory_mb, options.threads)
    ForkServer(control, Predictor(model, SingleRowSampler(options.single_row_share), advice), memory).run()


def _load(path: Path, memory_mb: int, *, allow_pickle: bool, trusted: Sequence[str]) -> tuple[Model, str]:
    """The model, and the hash of its file."""
    from shadowbus.models.bundle import read_bundle
    from shadowbus.models.load import ask_sample, load_unasked

    bundle = read_bundle(path)
    most = memory_mb * MEGABYTE
    model = load_unasked(bundle, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most)
    run_in_fork(lambda: ask_sample(bundle, model), f"{model.model} does not answer its sample")
    return model, bundle.manifest.sha256


def _why_not(error: BaseException, bundle: Path, memory_mb: int, advice: str) -> str:
    if isinstance(error, MemoryError):
        return (
            f"The model in {bundle} needs more than {memory_mb} MB of memory to be loaded; raise memory_mb of that "
            "shadow if it may."
        )
    if isinstance(error, ShadowbusError):
        return str(error) + (advice if misses_network(error) else "")
    return f"{bundle} cannot be loaded: {error_text(error, advice)}"


class ForkServer:
    """Forks workers of a loaded model, one at a time, and ends them."""

    def __init__(self, control: socket.socket, answering: Predictor, memory: Memory) -> None:
        self.control, self.answering, self.memory = control, answering, memory
        self.worker = 0
        self.over = ""
        self.own = set(_children())  # what loading the model has started

    def run(self) -> None:
        """Do what the parent asks until it is gone."""
        try:
            while True:
                if not select.select([self.control], [], [], WATCH_SECONDS if self.worker else None)[0]:
                    self._watch()
                    continue
                asked = self.control.recv(1)
                if not asked:
                    return
                if asked == FORK:
                    self._fork()
                else:
                    self.control.sendall(orjson.dumps(self._end(asked)))
        finally:
            self._end(KILL)

    def _fork(self) -> None:
        self._end(KILL)
        here, there = make_pipes()
        server = os.getpid()
        self.worker = os.fork()
        if self.worker == 0:
            here.close()
            self.control.close()
            try:
                become_worker(server, self.memory)
                serve(there, self.answering, self.memory)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            finally:  # the fork server's own clean-up is not the worker's
                os._exit(0)
        with contextlib.suppress(OSError):
            os.setpgid(self.worker, self.worker)  # on both sides of the fork: it is a group whoever runs first
        there.close()
        socket.send_fds(self.control, [b"%d" % self.worker], [here.reading, here.writing])
        here.close()

    def _watch(self) -> None:
        if not self.over:
            self.over = self._too_much()
            if self.over:
                self._kill()

    def _too_much(self) -> str:
        """Of what the worker and all it has started have too much, if of anything."""
        if self.memory.exceeded(self.worker):
            return "memory"
        return "tasks" if too_many_tasks(os.getpid(), self.own) else ""

    def _end(self, asked: bytes) -> dict[str, object]:
        """End the worker and all it has started; returns how it came to its end."""
        if not self.worker:
            return {}
        killed = not ((asked == GONE or self.over) and self._ended())
        if killed:
            self.over = self.over or self._too_much()
            os.kill(self.worker, signal.SIGABRT)  # faulthandler writes down where it was
            self._ended()
        self._kill()
        code = os.waitstatus_to_exitcode(os.waitpid(self.worker, 0)[1])
        self._end_strays()
        report = {"signal": max(0, -code), "code": max(0, code), "killed": killed, "over": self.over}
        self.worker, self.over = 0, ""
        return report

    def _ended(self) -> bool:
        """Whether the worker is dead, or is so soon. It is not reaped by this, so its number stays its own."""
        deadline = Deadline.after(STDERR_SECONDS)
        while not is_dead(self.worker):
            if deadline.passed:
                return False
            select.select([], [], [], 0.001)
        return True

    def _kill(self) -> None:
        """Kill the worker and its group, while it is not reaped."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.worker, signal.SIGKILL)

    def _end_strays(self) -> None:
        """What the worker had started is, or becomes, this process's child: nobody else reaps it."""
        deadline = Deadline.after(STRAY_SECONDS)
        while (strays := [child for child in _children() if child not in self.own]) and not deadline.passed:
            for stray in strays:
                with contextlib.suppress(PermissionError):
                    os.kill(stray, signal.SIGKILL)
                os.waitpid(stray, os.WNOHANG)


def _children() -> list[int]:
    """This process's children, dead ones that it has not reaped included."""
    return [child.pid for child in psutil.Process().children()]


def serve(pipe: Pipe, answering: Predictor, memory: Memory) -> None:
    """Answer questions until the pipe closes, or until this process has grown so much that a fresh one is better."""
    worker = os.getpid()
    usual: int | None = None
    while True:
        free = monotonic()
        if (question := pipe.receive()) is None:
            return
        answering.sampler.wait(monotonic() - free)
        number, block = question
        answers = answering.answer(block)
        if os.getpid() != worker:  # the model has forked, and this is the copy
            os._exit(0)
        stale = usual is not None and memory.grown() - usual > (memory.room - usual) // 2
        # A process that has grown and lacks memory says nothing about the row that happened to be asked then.
        if stale and any("MemoryError" in text for _, text in answers.failed.values()):
            os._exit(RETIRED)
        pipe.send(number, pack_answers(answers))
        if stale:
            os._exit(RETIRED)
        if usual is None:
            usual = memory.grown()
