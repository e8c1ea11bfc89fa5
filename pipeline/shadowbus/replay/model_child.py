"""The model's side: a keeper that loads the bundle once, and the worker it forks to predict.

The keeper is spawned, has one thread, loads the model and predicts nothing. For each request on its control socket it
kills the worker it had and forks a new one, which starts with the model loaded: a crash costs milliseconds, not the
seconds that Python and a numerical library take to start (`docs/decisions/0004-model-process.md`). When the control
socket closes, because the parent is gone however that happened, the keeper kills its worker and ends.

The worker answers questions from a pipe of its own until that closes. An exception is an answer: the batch is halved
until the rows that raise stand alone. What an exception cannot express (a hang, a crash) the parent sees from outside.
"""

import argparse
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from shadowbus.clock import monotonic, perf_ns
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.replay.model_messages import (
    Answers,
    Pipe,
    make_pipes,
    pack_answers,
    read_request,
    request_fragment,
    unpack_question,
)
from shadowbus.shadows.model import Model

Features = dict[str, Any] | list[Any]

ERROR_CHARACTERS = 300
BURST_SECONDS = 0.01
"""The most that single rows may hold up one chunk."""


@dataclass(slots=True)
class _Predicted:
    predictions: list[Any] = field(default_factory=list)
    scores: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)


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
        control.sendall(orjson.dumps({"error": f"{options.bundle} cannot be loaded: {_text(error)}"}))
        return
    gc.freeze()  # what is loaded stays: a full collection would walk it in the middle of a prediction
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
    sampler = _SingleRows(single_row_share)
    while (block := pipe.receive()) is not None:
        pipe.send(pack_answers(answer(model, block, sampler)))


def answer(model: Model, block: bytes, sampler: "_SingleRows") -> Answers:
    """Predict every row of one question that can be."""
    answers = Answers()
    keys, values = unpack_question(block)
    rows, features = [], []
    fragments: dict[int, dict[str, Any]] = {}
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        try:
            parsed = read_request(key, value)
        except Malformed as error:
            answers.malformed[row] = str(error)
            continue
        fragments[row] = parsed
        rows.append(row)
        features.append(parsed["features"])
    _describe(model, rows, features, fragments, answers)
    kept = [index for index, row in enumerate(rows) if row not in answers.malformed]
    if len(kept) != len(rows):
        rows, features = [rows[i] for i in kept], [features[i] for i in kept]
    started = perf_ns()
    done = _Predicted()
    if rows:
        _predict(model, rows, features, done)
    answers.batch_ms = (perf_ns() - started) / 1e6
    latencies = sampler.measure(model, done.rows, features, rows)
    answers.predictions, answers.scores, answers.failed = done.predictions, done.scores, done.failed
    answers.shadows = [
        orjson.dumps(
            {"model": model.model, "prediction": p, "scores": s, "latency_ms": latencies.get(row), "error": None}
        )
        for row, p, s in zip(done.rows, done.predictions, done.scores, strict=True)
    ]
    return answers


def _describe(
    model: Model, rows: list[int], features: list[Features], parsed: dict[int, dict[str, Any]], answers: Answers
) -> None:
    missing = model.missing(features)
    for index, row in enumerate(rows):
        try:
            answers.requests.append(request_fragment(parsed[row], missing[index] if missing else ()))
        except Malformed as error:
            answers.malformed[row] = str(error)


def _predict(model: Model, rows: list[int], features: list[Features], done: _Predicted) -> None:
    """Predict a batch; where it raises, its halves, down to the single rows that raise."""
    try:
        found = model.predict(features)
        if len(found.predictions) != len(rows):
            raise ValueError(f"{len(rows)} rows gave {len(found.predictions)} predictions")
        orjson.dumps(found.predictions)
    except BaseException as error:
        if len(rows) == 1:
            done.failed[rows[0]] = ("shadow_error", _text(error))
            return
        half = len(rows) // 2
        _predict(model, rows[:half], features[:half], done)
        _predict(model, rows[half:], features[half:], done)
        return
    done.rows += rows
    done.predictions += found.predictions
    done.scores += found.scores if found.scores is not None else [None] * len(rows)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]


class _SingleRows:
    """Predicts a random sample of rows one at a time: the only honest latency of a model that is fed in batches.

    It may spend a fixed share of the time that passes, so it measures many rows when traffic is low and never slows a
    backlog down by more than that share.
    """

    def __init__(self, share: float) -> None:
        self.share, self.credit, self.cost, self.at = share, BURST_SECONDS, 0.001, monotonic()

    def measure(
        self, model: Model, predicted: list[int], features: list[Features], rows: list[int]
    ) -> dict[int, float]:
        """Latencies in milliseconds of some of the predicted rows, by row."""
        now = monotonic()
        self.credit = min(self.credit + (now - self.at) * self.share, BURST_SECONDS)
        self.at = now
        count = min(len(predicted), max(0, int(self.credit / self.cost)))
        position = {row: index for index, row in enumerate(rows)}
        latencies: dict[int, float] = {}
        for row in random.sample(predicted, count):
            single = [features[position[row]]]
            started = perf_ns()
            with contextlib.suppress(Exception):
                model.predict(single)
                latencies[row] = (perf_ns() - started) / 1e6
            spent = (perf_ns() - started) / 1e9
            self.credit -= spent
            self.cost = 0.9 * self.cost + 0.1 * max(spent, 1e-6)
            if self.credit <= 0:
                break
        return latencies


if __name__ == "__main__":
    main(sys.argv[1:])
