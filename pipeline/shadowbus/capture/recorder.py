"""Turns what production says into records and puts them into the outbox. Nothing here raises.

A request that is left out (sampled, too large, buffer full) takes its prediction with it: half a pair would only show
up later as a loss that nobody can explain.
"""

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from shadowbus.capture import wire
from shadowbus.capture.counters import INTERNAL, INVALID_FIELD, INVALID_ID, NOT_SERIALISABLE, TOO_LARGE, Tallies
from shadowbus.capture.fields import InvalidFieldError, chance_of, time_ms
from shadowbus.capture.ids import RequestIds, given_id
from shadowbus.capture.outbox import Outbox
from shadowbus.capture.plain import TooLargeError, plain
from shadowbus.capture.sampling import Sampler
from shadowbus.clock import now_ms
from shadowbus.limits import (
    MAX_ANSWER_BYTES,
    MAX_LABEL_BYTES,
    MAX_LATENCY_MS,
    MAX_MODEL_CHARACTERS,
    is_model,
)

SAMPLED_OUT = "sampled_out"


class Answer(NamedTuple):
    """What the live model said, or what went wrong. `model` overrides the tap's; `timed`: what `latency_ms` is of."""

    latency_ms: float
    prediction: object = None
    scores: object = None
    model: object = None
    error: str | None = None
    timed: str = "call"


class Recorder:
    """Writes the three kinds of records; each method's answer is None or why its record was left out."""

    def __init__(
        self,
        outbox: Outbox,
        tallies: Tallies,
        sampler: Sampler,
        *,
        topics: Mapping[str, str],
        model: str,
        max_record_bytes: int,
    ) -> None:
        self.tallies = tallies
        self.ids = RequestIds()
        self._outbox = outbox
        self._sampler = sampler
        self._everything = sampler.everything
        self._model = model
        self.max_record_bytes = max_record_bytes
        self._max_answer_bytes = min(max_record_bytes, MAX_ANSWER_BYTES)
        self._max_label_bytes = min(max_record_bytes, MAX_LABEL_BYTES)
        self._requests, self._predictions, self._labels = topics["requests"], topics["predictions"], topics["labels"]

    def identify(self, given: object) -> str | None:
        """The id somebody gave, a new one where none was given, or None where it cannot be an id."""
        return self.ids.new() if given is None else given_id(given)

    def request(
        self,
        request_id: str | None,
        features: object,
        segments: object,
        context: object,
        timestamp_ms: int | None = None,
    ) -> str | None:
        """Record one request, as its features are now."""
        if request_id is None:
            return self.count(INVALID_ID)
        if not self._everything and not self._sampler.keeps(request_id.encode()):
            return self.count(SAMPLED_OUT)
        try:
            moment = now_ms() if timestamp_ms is None else timestamp_ms
            value = wire.request_value(request_id, moment, features, segments, context, self.max_record_bytes)
            left_out = self._outbox.put(self._requests, request_id.encode(), value)
        except Exception as problem:
            left_out = _reason(problem)
        if left_out is None:
            self.tallies.requests.add()
            return None
        return self.count(left_out)

    def prediction(self, request_id: str, answer: Answer) -> str | None:
        """Record the answer to a request that was recorded. What cannot be written goes out as an error instead."""
        try:
            left_out = self._outbox.put(
                self._predictions, request_id.encode(), self._written(request_id, now_ms(), answer)
            )
        except Exception:
            left_out = INTERNAL
        if left_out is None:
            self.tallies.predictions.add()
            return None
        return self.count(left_out)

    def label(
        self, request_id: str | None, label: object, timestamp_ms: object, probability: object = None
    ) -> str | None:
        """Record what really happened, if the request it belongs to was kept."""
        if request_id is None:
            return self.count(INVALID_ID)
        if not self._everything and not self._sampler.keeps(request_id.encode()):
            return self.count(SAMPLED_OUT)
        try:
            moment = now_ms() if timestamp_ms is None else time_ms(timestamp_ms)
            chance = None if probability is None else chance_of(probability)
            value = wire.label_value(request_id, moment, label, chance, self._max_label_bytes)
            left_out = self._outbox.put(self._labels, request_id.encode(), value)
        except Exception as problem:
            left_out = _reason(problem)
        if left_out is None:
            self.tallies.labels.add()
            return None
        return self.count(left_out)

    def count(self, left_out: str) -> str:
        """Count one record that was left out, and hand its reason on."""
        if left_out == SAMPLED_OUT:
            self.tallies.sampled_out.add()
        else:
            self.tallies.dropped[left_out].add()
        return left_out

    def _written(self, request_id: str, moment: int, answer: Answer) -> bytes:
        latency_ms, prediction, scores, model, error, timed = answer
        if latency_ms > MAX_LATENCY_MS:
            latency_ms = MAX_LATENCY_MS
        most = self._max_answer_bytes
        named = self._model if model is None else self._named(model)
        try:
            value = wire.prediction_value(request_id, moment, named, prediction, scores, latency_ms, error, timed, most)
            if len(value) <= most:
                return value
            problem = f"the prediction is larger than {most} bytes"
        except TooLargeError:
            problem = f"the prediction is larger than {most} bytes"
        except Exception as unwritable:
            problem = f"the prediction cannot be written: {wire.error_text(unwritable)}"
        return self._replacement(request_id, moment, named, answer, problem)

    def _named(self, model: object) -> str:
        """The name of a model, or the tap's where no stage would take it."""
        with contextlib.suppress(TypeError, ValueError):
            name = plain(model, MAX_MODEL_CHARACTERS)
            if is_model(name) and name.encode():
                return str(name)
        self.tallies.replaced.add()
        return self._model

    def _replacement(self, request_id: str, moment: int, model: str, answer: Answer, problem: str) -> bytes:
        """Without its scores if that is enough; else as an error, so that the request still has its other half."""
        self.tallies.replaced.add()
        most, latency_ms = self._max_answer_bytes, min(answer.latency_ms, MAX_LATENCY_MS)
        with contextlib.suppress(Exception):
            value = wire.prediction_value(
                request_id, moment, model, answer.prediction, None, latency_ms, answer.error, answer.timed, most
            )
            if len(value) <= most:
                return value
        return wire.prediction_value(request_id, moment, model, None, None, latency_ms, problem, answer.timed, most)


def _reason(problem: Exception) -> str:
    if isinstance(problem, TooLargeError):
        return TOO_LARGE
    if isinstance(problem, InvalidFieldError):
        return INVALID_FIELD
    return NOT_SERIALISABLE if isinstance(problem, TypeError) else INTERNAL
