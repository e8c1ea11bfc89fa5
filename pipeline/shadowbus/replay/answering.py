"""What the model process does with one question: read the rows, predict them, find those that raise.

An exception is an answer: the batch is halved until the rows that raise stand alone. What an exception cannot express
(a hang, a crash) the parent sees from outside.
"""

import contextlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, starmap
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shadowbus.clock import perf_ns
from shadowbus.replay.model_messages import Answers, unpack_question
from shadowbus.replay.request_reader import RequestReader, Requests, lacking
from shadowbus.replay.single_rows import SingleRows
from shadowbus.shadows.model import MatrixModel, Model

ERROR_CHARACTERS = 300


class Answering:
    """Answers questions with one model.

    Args:
        model: The model.
        sampler: Measures single rows.
    """

    def __init__(self, model: Model, sampler: SingleRows) -> None:
        self.model, self.sampler = model, sampler
        self.by_place = model if isinstance(model, MatrixModel) and model.reads_matrix else None
        names = model.feature_names if self.by_place else None
        self.reader = RequestReader(names, self.by_place.width if self.by_place and names is None else None)
        self._order: list[int] = []

    def answer(self, block: bytes) -> Answers:
        """Predict every row of one question that can be."""
        keys, values = unpack_question(block)
        requests = self.reader.read(keys, values)
        answers = Answers(malformed=requests.malformed)
        started = perf_ns()
        missing = self._predict(requests, values, answers)
        answers.batch_ms = (perf_ns() - started) / 1e6
        predicted = [row for row in requests.rows if row not in answers.failed] if answers.failed else requests.rows
        answers.latencies = self.sampler.measure(
            self.model, len(predicted), lambda position: self.reader.features_of(values[predicted[position]])
        )
        answers.tails = requests.tails
        for position, row in enumerate(requests.rows if missing else ()):
            if names := missing.get(row):
                answers.tails[position] = lacking(answers.tails[position], names)
        return answers

    def _predict(self, requests: Requests, values: Sequence[bytes], answers: Answers) -> dict[int, tuple[str, ...]]:
        """Predict all at once if that goes, else with care; returns the missing features by row."""
        if requests.places is not None and self.by_place is not None:
            matrix = self._matrix(requests, self.by_place)
            with contextlib.suppress(BaseException):  # found again below, with care
                found = self.by_place.predict_matrix(matrix)
                if len(found.predictions) == len(requests.rows):
                    orjson.dumps((found.predictions, found.scores), option=orjson.OPT_NON_STR_KEYS)
                    answers.predictions = found.predictions
                    answers.scores = [None] * len(matrix) if found.scores is None else [*found.scores]
                    return self._missing(matrix, values)
            requests.features = [self.reader.features_of(value) for value in values]
        done = _Predicted()
        if requests.rows:
            _predict(self.model, requests.rows, requests.features, done)
        if done.failed:
            done.sort()
        answers.predictions, answers.scores, answers.failed = done.predictions, done.scores, done.failed
        return done.missing

    def _matrix(self, requests: Requests, model: MatrixModel) -> NDArray[np.float64]:
        """The rows in training order; what is absent or null is not-a-number."""
        places = requests.places or []
        width = len(places[0])
        try:
            flat = np.frombuffer(b"".join(starmap(struct.Struct(f"{width}d").pack, places)))
        except struct.error:  # one of them is None
            flat = np.fromiter(chain.from_iterable(places), np.float64, len(places) * width)
        flat = flat.reshape(-1, width)
        if model.feature_names is None:
            return flat
        if not self._order:
            self._order = list(map(self.reader.names.index, model.feature_names))
        return flat if self._order == sorted(self._order) else np.ascontiguousarray(flat[:, self._order])

    def _missing(self, matrix: NDArray[np.float64], values: Sequence[bytes]) -> dict[int, tuple[str, ...]]:
        """The features that rows lack. Null is not lacking, so rows with a hole are read once more."""
        if not np.isnan(matrix.sum()):
            return {}
        rows = np.flatnonzero(np.isnan(matrix).any(axis=1)).tolist()
        lacking = self.model.missing([self.reader.features_of(values[row]) for row in rows])
        return {} if lacking is None else dict(zip(rows, lacking, strict=True))


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


def _predict(model: Model, rows: list[int], features: list[Any], done: _Predicted) -> None:
    """Predict a batch; where it raises, its parts, down to the single rows that raise."""
    try:
        found = model.predict(features)
        if len(found.predictions) != len(rows):
            raise ValueError(f"{len(rows)} rows gave {len(found.predictions)} predictions")
        orjson.dumps((found.predictions, found.scores), option=orjson.OPT_NON_STR_KEYS)
    except BaseException as error:
        if len(rows) == 1:
            done.failed[rows[0]] = ("shadow_error", error_text(error))
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


def error_text(error: BaseException) -> str:
    """An exception in one line, as it stands in a comparison."""
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]
