"""The model's side: a keeper that loads the bundle once, and the worker it forks to predict.

The keeper is spawned, has one thread, loads the model and predicts nothing. For each request on its control socket it
kills the worker it had and forks a new one, which starts with the model loaded: a crash costs milliseconds, not the
seconds that Python and a numerical library take to start (`docs/decisions/0004-model-process.md`). When the control
socket closes, because the parent is gone however that happened, the keeper kills its worker and ends.

The worker answers questions from a pipe of its own until that closes (`answering.py`).
"""

import argparse
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from shadowbus.errors import ShadowbusError
from shadowbus.replay.answering import Answering, error_text
from shadowbus.replay.model_messages import Pipe, make_pipes, pack_answers
from shadowbus.replay.single_rows import SingleRows
from shadowbus.shadows.model import Model


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=options.control)
    try:
        model = _load(options.bundle, allow_pickle=options.allow_pickle)
    except ShadowbusError as error:
        control.sendall(orjson.dumps({"error": str(error)}))
        return
    except BaseException as error:
        control.sendall(orjson.dumps({"error": f"{options.bundle} cannot be loaded: {error_text(error)}"}))
        return
    # What is loaded stays, and a chunk of rows makes no cycles: a collection would only hold up a prediction.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    control.sendall(orjson.dumps({"model": model.model}))
    _keep(control, model, options)


def _load(path: Path, *, allow_pickle: bool) -> Model:
    from shadowbus.shadows.bundle import read_bundle
    from shadowbus.shadows.registry import load_model

    return load_model(read_bundle(path), allow_pickle=allow_pickle)


def _keep(control: socket.socket, model: Model, options: argparse.Namespace) -> None:
    worker = 0
    try:
        while control.recv(1):
            _end(worker)
            here, there = make_pipes()
            worker = os.fork()
            if worker == 0:
                here.close()
                control.close()
                _limit_memory(options.memory_mb)
                try:
                    _serve(there, model, options.single_row_share)
                finally:  # also on an exception: the keeper's own clean-up below is not the worker's
                    os._exit(0)
            there.close()
            socket.send_fds(control, [str(worker).encode()], [here.reading, here.writing])
            here.close()
    finally:
        _end(worker)


def _end(worker: int) -> None:
    if worker:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker, 0)


def _limit_memory(megabytes: int) -> None:
    """Beyond its limit an allocation fails inside the model, which is then an exception like any other."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(pipe: Pipe, model: Model, single_row_share: float) -> None:
    """Answer questions until the pipe closes."""
    answering = Answering(model, SingleRows(single_row_share))
    while (block := pipe.receive()) is not None:
        pipe.send(pack_answers(answering.answer(block)))


if __name__ == "__main__":
    main(sys.argv[1:])
