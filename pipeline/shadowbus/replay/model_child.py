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
    missing: dict[int, tuple[str, ...]] = field(default_factory=dict)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)

    def sort(self) -> None:
        """Put the rows back in order, after suspects were asked apart from the others."""
        order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
        self.predictions = [self.predictions[i] for i in order]
        self.scores = [self.scores[i] for i in order]
        self.rows = [self.rows[i] for i in order]


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
    sampler = SingleRows(single_row_share)
    while (block := pipe.receive()) is not None:
        pipe.send(pack_answers(answer(model, block, sampler)))


def answer(model: Model, block: bytes, sampler: "SingleRows") -> Answers:
    """Predict every row of one question that can be."""
    answers = Answers()
    rows: list[int] = []
    requests: list[dict[str, Any]] = []
    for row, (key, value) in enumerate(zip(*unpack_question(block), strict=True)):
        try:
            requests.append(read_request(key, value))
            rows.append(row)
        except Malformed as error:
            answers.malformed[row] = str(error)
    features = [request["features"] for request in requests]
    done = _Predicted()
    started = perf_ns()
    if rows:
        _predict(model, rows, features, done)
    if len(done.rows) < len(rows):
        done.sort()
    answers.batch_ms = (perf_ns() - started) / 1e6
    latencies = sampler.measure(model, done.rows, features, rows)
    answers.predictions, answers.scores, answers.failed = done.predictions, done.scores, done.failed
    answers.shadows = _fragments(model.model, done, latencies)
    missing = done.missing
    answers.requests = [
        request_fragment(request, missing.get(row, ())) for row, request in zip(rows, requests, strict=True)
    ]
    return answers


def _fragments(model: str, done: _Predicted, latencies: dict[int, float]) -> list[bytes]:
    """The shadow's side of each comparison, ready to be put in."""
    start = b'{"model":%b,"prediction":' % orjson.dumps(model)
    predictions, scores = _texts(done.predictions), _texts(done.scores)
    none = b',"latency_ms":null,"error":null}'
    return [
        b"".join((start, prediction, b',"scores":', score, none if row not in latencies else _latency(latencies[row])))
        for row, prediction, score in zip(done.rows, predictions, scores, strict=True)
    ]


def _latency(milliseconds: float) -> bytes:
    return b',"latency_ms":%b,"error":null}' % orjson.dumps(milliseconds)


def _texts(values: list[Any]) -> list[bytes]:
    """Each value as JSON; written as one array and cut, where nothing but a cut can look like one."""
    kinds = set(map(type, values))
    if kinds <= {int, float, bool, type(None)} and values:
        return orjson.dumps(values)[1:-1].split(b",")
    if kinds == {list} and {float} == {type(one) for value in values for one in value} and all(values):
        return [b"[%b]" % text for text in orjson.dumps(values)[2:-2].split(b"],[")]
    return list(map(orjson.dumps, values))


def _predict(model: Model, rows: list[int], features: list[Features], done: _Predicted) -> None:
    """Predict a batch; where it raises, its parts, down to the single rows that raise."""
    try:
        found = model.predict(features)
        if len(found.predictions) != len(rows):
            raise ValueError(f"{len(rows)} rows gave {len(found.predictions)} predictions")
        orjson.dumps(found.predictions)
    except BaseException as error:
        if len(rows) == 1:
            done.failed[rows[0]] = ("shadow_error", _text(error))
            with contextlib.suppress(Exception):
                done.missing[rows[0]] = (model.missing(features) or [()])[0]
            return
        for part in _parts(len(rows), getattr(error, "suspects", ())):
            _predict(model, [rows[i] for i in part], [features[i] for i in part], done)
        return
    done.rows += rows
    done.predictions += found.predictions
    done.scores += found.scores if found.scores is not None else [None] * len(rows)
    if found.missing is not None:
        done.missing.update(zip(rows, found.missing, strict=True))


def _parts(count: int, suspects: Sequence[int]) -> list[Sequence[int]]:
    """How to split a batch that raised: the suspects alone and the others together, or in halves."""
    if 0 < len(suspects) < count:
        others = sorted(set(range(count)).difference(suspects))
        return [others, *([suspect] for suspect in suspects)]
    return [range(count // 2), range(count // 2, count)]


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]


class SingleRows:
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
        most = max(BURST_SECONDS, self.cost)  # one row at least: a slow model is measured too, only less often
        self.credit = min(self.credit + (now - self.at) * self.share, most)
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
