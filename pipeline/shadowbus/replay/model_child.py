"""The model's side: a keeper that loads the bundle once, and the worker it forks to predict.

The keeper is spawned, loads the model and predicts nothing. It forks a worker when its parent asks for one; that starts
with the model loaded, so a crash costs milliseconds, not the seconds that Python and a numerical library take to start
(`docs/decisions/0004-model-process.md`). It ends the worker, and whatever that has started, when the parent asks, when
it takes too much memory, and when the control socket closes, because the parent is gone however that happened.

The worker answers questions from a pipe of its own until that closes (`answering.py`).
"""

import argparse
import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import orjson
import psutil

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import ShadowbusError
from shadowbus.replay.answering import Answering, error_text
from shadowbus.replay.death import RETIRED
from shadowbus.replay.model_limits import Memory, become_worker, detach, end_with
from shadowbus.replay.model_messages import FORK, GONE, KILL, pack_answers
from shadowbus.replay.model_threads import limit_joblib
from shadowbus.replay.pipe import Pipe, make_pipes
from shadowbus.replay.single_rows import SingleRows
from shadowbus.shadows.model import Model

WATCH_SECONDS = 0.05
LAST_WORDS_SECONDS = 0.1
"""How long a worker that is to be killed has to say where it was, and one that is dying to be dead."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep one model: load it, say so, then fork a worker whenever the parent asks for one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--single-row-share", type=float, required=True)
    parser.add_argument("--allow-pickle", action="store_true")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    detach()
    control = socket.socket(fileno=options.control)
    end_with(control, on=True)
    try:
        model, sha256 = _load(options.bundle, allow_pickle=options.allow_pickle)
    except ShadowbusError as error:
        control.sendall(orjson.dumps({"error": str(error)}))
        return
    except BaseException as error:
        control.sendall(orjson.dumps({"error": f"{options.bundle} cannot be loaded: {error_text(error)}"}))
        return
    end_with(control, on=False)
    limit_joblib(options.threads)
    # What is loaded stays, and a chunk of rows makes no cycles: a collection would only hold up a prediction.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    control.sendall(orjson.dumps({"model": model.model, "sha256": sha256}))
    memory = Memory.now(options.memory_mb, options.threads)
    Keeper(control, model, memory, options.single_row_share).run()


def _load(path: Path, *, allow_pickle: bool) -> tuple[Model, str]:
    """The model, and the hash of its file."""
    from shadowbus.shadows.bundle import read_bundle
    from shadowbus.shadows.registry import load_model

    bundle = read_bundle(path)
    return load_model(bundle, allow_pickle=allow_pickle), bundle.manifest.sha256


class Keeper:
    """Forks workers of a loaded model, one at a time, and ends them."""

    def __init__(self, control: socket.socket, model: Model, memory: Memory, single_row_share: float) -> None:
        self.control, self.model, self.memory, self.share = control, model, memory, single_row_share
        self.worker = 0
        self.too_much = False
        self.own = {child.pid for child in psutil.Process().children()}  # what loading the model has started

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
        keeper = os.getpid()
        self.worker = os.fork()
        if self.worker == 0:
            here.close()
            self.control.close()
            try:
                become_worker(keeper, self.memory)
                serve(there, self.model, self.memory, self.share)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            finally:  # the keeper's own clean-up is not the worker's
                os._exit(0)
        with contextlib.suppress(OSError):
            os.setpgid(self.worker, self.worker)  # on both sides of the fork: it is a group whoever runs first
        there.close()
        socket.send_fds(self.control, [b"%d" % self.worker], [here.reading, here.writing])
        here.close()

    def _watch(self) -> None:
        if not self.too_much and self.memory.exceeded(self.worker):
            self.too_much = True
            _kill(self.worker)

    def _end(self, asked: bytes) -> dict[str, object]:
        """End the worker and all it has started; returns how it came to its end."""
        if not self.worker:
            return {}
        status = self._waited() if asked == GONE or self.too_much else None
        killed = status is None
        if killed:
            self.too_much |= self.memory.exceeded(self.worker)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.worker, signal.SIGABRT)  # faulthandler writes down where it was
            status = self._waited()
        _kill(self.worker)
        if status is None:
            status = os.waitpid(self.worker, 0)[1]
        self._end_strays()
        code = os.waitstatus_to_exitcode(status)
        how = {"signal": max(0, -code), "code": max(0, code)}
        report: dict[str, object] = {**how, "killed": killed, "memory": self.too_much}
        self.worker, self.too_much = 0, False
        return report

    def _waited(self) -> int | None:
        """The worker's status once it is dead, or None when it is not soon."""
        deadline = Deadline.after(LAST_WORDS_SECONDS)
        while True:
            pid, status = os.waitpid(self.worker, os.WNOHANG)
            if pid:
                return status
            if deadline.passed:
                return None
            select.select([], [], [], 0.001)

    def _end_strays(self) -> None:
        """What the worker had started is this process's child now."""
        while strays := [child for child in psutil.Process().children(recursive=True) if child.pid not in self.own]:
            for stray in strays:
                with contextlib.suppress(psutil.Error):
                    stray.kill()
            for stray in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(stray.pid, 0)


def _kill(worker: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(worker, signal.SIGKILL)


def serve(pipe: Pipe, model: Model, memory: Memory, single_row_share: float) -> None:
    """Answer questions until the pipe closes, or until this process has grown so much that a fresh one is better."""
    worker = os.getpid()
    sampler = SingleRows(single_row_share)
    answering = Answering(model, sampler)
    usual: int | None = None
    while True:
        free = monotonic()
        if (question := pipe.receive()) is None:
            return
        sampler.wait(monotonic() - free)
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


if __name__ == "__main__":
    main(sys.argv[1:])
