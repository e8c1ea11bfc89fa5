"""Answers questions in the model's process: reads the rows, predicts them, and finds those that raise.

In: a question, as bytes. Out: answers. Some rows are asked alone and timed, before the others are asked together.
Guaranteed: no row is asked again once it was answered, and an exception is an answer (`bisection.py`). What an
exception cannot express (a hang, a crash) the parent sees from outside.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.clock import monotonic, perf_ns
from shadowbus.models.model import MatrixModel, Model, Predictions
from shadowbus.records.comparison_tail import lacking
from shadowbus.replay.model.child.bisection import BatchResult, check, predict_in_parts
from shadowbus.replay.model.child.error_text import error_text
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.messages import TEXT_CHARACTERS, Answers, Detours, unpack_question
from shadowbus.replay.model.requests import RequestReader, Requests

FAILURES = 3
"""In a row, each with every row answered on the longer way: so the way was at fault, and no row."""

REST_SECONDS = 60.0
"""How long a way that was given up is not tried."""


class Predictor:
    """Answers questions with one model.

    Args:
        model: The model.
        sampler: Chooses the rows that are asked alone, and times them.
        advice: What to add to an error text where the cause is the missing network.
    """

    def __init__(self, model: Model, sampler: SingleRowSampler, advice: str = "") -> None:
        self.model, self.sampler, self.advice = model, sampler, advice
        self.by_place = model if isinstance(model, MatrixModel) and model.reads_matrix else None
        names = model.feature_names if self.by_place else None
        self.reader = RequestReader(names, self.by_place.width if self.by_place and names is None else None)
        self.straight, self.whole = Shortcut(), Shortcut()
        self._most_rows = 0  # at once, once it is known that the model does not take them all
        self._order: list[int] = []

    def answer(self, block: bytes) -> Answers:
        """Predict every row of one question that can be: some rows alone, then the others together."""
        keys, values, share = unpack_question(block)
        self.sampler.share = self.sampler.share if share is None else share
        requests = self.reader.read(keys, values)
        answers = Answers(malformed=requests.malformed)
        alone = self._ask_alone(requests, keys, values)
        singly = {row for row, single in alone.items() if single.said is not None}
        if len(requests.rows) == 1 and alone and not singly:
            missing = self._fail_alone(requests, values, alone, answers)
        else:
            started = perf_ns()
            missing = self._predict(requests.without(singly) if singly else requests, values, answers)
            answers.batch_ms = (perf_ns() - started) / 1e6
            answers.detours.alone = len(alone.keys() - singly - answers.failed.keys())
        _put_in(requests.rows, {row: alone[row] for row in singly}, answers, missing)
        answers.tails = requests.tails
        for position, row in enumerate(requests.rows if missing else ()):
            if names := missing.get(row):
                answers.tails[position] = lacking(answers.tails[position], names)
        answers.detours.reason = "; ".join(filter(None, (self.whole.reason, self.straight.reason)))[:TEXT_CHARACTERS]
        return answers

    def _ask_alone(self, requests: Requests, keys: list[bytes], values: Sequence[bytes]) -> dict[int, "_Single"]:
        """Some rows before all others, each alone."""
        rows, found = requests.rows, dict[int, _Single]()
        for place in self.sampler.choose(keys if len(rows) == len(keys) else [keys[row] for row in rows]):
            row, warm = rows[place], self.sampler.warm
            found[row], seconds = self._ask(self._features(requests, place, values))
            if len(rows) > 1 and warm and not self.sampler.pay(seconds):  # what warms it up is no usual cost
                break
        return found

    def _ask(self, features: Any) -> tuple["_Single", float]:
        """One row alone, and how many seconds that took."""
        single, started = [features], perf_ns()
        try:
            said = self.model.predict(single)
            seconds = (perf_ns() - started) / 1e9
            check(said, 1)
            return _Single(said, self.sampler.counts(seconds)), seconds
        except BaseException as error:  # only its text is kept: it holds on to all that the model has made
            return _Single(problem=error_text(error, self.advice)), (perf_ns() - started) / 1e9

    def _fail_alone(
        self, requests: Requests, values: Sequence[bytes], alone: Mapping[int, "_Single"], answers: Answers
    ) -> dict[int, tuple[str, ...]]:
        """The only row there is raised; it is not asked again to find that out."""
        done, row = BatchResult(self.advice), requests.rows[0]
        done.fail(self.model, row, self._features(requests, 0, values), alone[row].problem)
        answers.failed, answers.detours.missing = done.failed, done.unknown
        return done.missing

    def _features(self, requests: Requests, place: int, values: Sequence[bytes]) -> Any:
        """Of the row at a place, as JSON has them."""
        return requests.features[place] if requests.features else self.reader.features_of(values[requests.rows[place]])

    def _predict(self, requests: Requests, values: Sequence[bytes], answers: Answers) -> dict[int, tuple[str, ...]]:
        """Predict all at once if that goes, else with care; returns the missing features by row."""
        refused = ""
        if requests.places is not None and self.by_place is not None:
            if self.straight.open(monotonic()):
                try:
                    return self._predict_straight(requests, self.by_place, values, answers)
                except BaseException as error:  # found again below, with care
                    refused = error_text(error, self.advice)
            requests.features = [self.reader.features_of(values[row]) for row in requests.rows]
        done = self._predict_with_care(requests)
        answers.predictions, answers.scores, answers.failed = done.predictions, done.scores, done.failed
        answers.detours.missing = done.unknown
        if not done.failed:
            self._learn(refused, done, answers.detours)
        return done.missing

    def _predict_straight(
        self, requests: Requests, model: MatrixModel, values: Sequence[bytes], answers: Answers
    ) -> dict[int, tuple[str, ...]]:
        matrix = self._matrix(requests, model)
        found = model.predict_matrix(matrix)
        check(found, len(requests.rows))
        answers.predictions = found.predictions
        answers.scores = [None] * len(matrix) if found.scores is None else [*found.scores]
        for way in (self.straight, self.whole):
            way.worked()
        return self._missing(matrix, requests.rows, values)

    def _predict_with_care(self, requests: Requests) -> BatchResult:
        done, rows = BatchResult(self.advice), requests.rows
        most = len(rows) if self.whole.open(monotonic()) else self._most_rows
        for start in range(0, len(rows), max(1, most)):
            end = start + most
            predict_in_parts(self.model, rows[start:end], requests.features[start:end], done)
        if done.failed:
            done.sort()
        return done

    def _learn(self, refused: str, done: BatchResult, detours: Detours) -> None:
        """All rows were answered: whatever failed on the way was the way's fault."""
        now = monotonic()
        if refused:
            detours.matrix = 1
            self.straight.failed(f"rows are read twice, since they cannot be asked as a matrix: {refused}", now)
        if done.raised:
            detours.batch = 1
            self._most_rows = done.largest
            self.whole.failed(f"at most {done.largest} rows are asked at once: {done.raised}", now)
        elif self.whole.open(now) and len(done.rows) > self._most_rows:
            self.whole.worked()

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

    def _missing(
        self, matrix: NDArray[np.float64], rows: Sequence[int], values: Sequence[bytes]
    ) -> dict[int, tuple[str, ...]]:
        """The features that rows lack. Null is not lacking, so rows with a hole are read once more."""
        if not np.isnan(matrix.sum()):
            return {}
        holes = [rows[place] for place in np.flatnonzero(np.isnan(matrix).any(axis=1)).tolist()]
        lacking = self.model.missing([self.reader.features_of(values[row]) for row in holes])
        return {} if lacking is None else dict(zip(holes, lacking, strict=True))


@dataclass(frozen=True, slots=True)
class _Single:
    """What a model said to a row alone, with its latency if that counts; or why it said nothing."""

    said: Predictions | None = None
    latency_ms: float | None = None
    problem: str = ""


def _put_in(rows: Sequence[int], alone: Mapping[int, _Single], answers: Answers, missing: dict[int, Any]) -> None:
    """Put the answers of rows that were asked alone between those of the others, in the order of the rows."""
    if not alone:
        return
    predicted = [row for row in rows if row not in answers.failed]
    for place, row in enumerate(predicted):
        if row in alone:
            said = alone[row].said
            assert said is not None  # noqa: S101
            answers.predictions.insert(place, said.predictions[0])
            answers.scores.insert(place, None if said.scores is None else said.scores[0])
            if (latency_ms := alone[row].latency_ms) is not None:
                answers.latencies[place] = latency_ms
            if said.missing is not None:
                missing[row] = said.missing[0]


@dataclass(slots=True)
class Shortcut:
    """Whether a way is worth trying. `reason` says why it is given up, and is empty while it is not."""

    reason: str = ""
    _failures: int = 0
    _again_at: float = 0.0

    def open(self, now: float) -> bool:
        """Whether to take it at this monotonic time (seconds)."""
        return now >= self._again_at

    def worked(self) -> None:
        """It led to answers."""
        self.reason, self._failures, self._again_at = "", 0, 0.0

    def failed(self, why: str, now: float) -> None:
        """It led nowhere, and the longer way did."""
        self._failures += 1
        if self._failures >= FAILURES:
            self.reason, self._again_at = why, now + REST_SECONDS
