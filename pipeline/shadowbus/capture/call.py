"""One request on its way through the service's own code, between the question and the answer."""

from types import TracebackType
from typing import Self

from shadowbus.capture.counters import INVALID_ID
from shadowbus.capture.fields import duration_ms
from shadowbus.capture.ids import given_id
from shadowbus.capture.recorder import Answer, Recorder
from shadowbus.capture.wire import error_text
from shadowbus.clock import perf_ns

NO_PREDICTION = "no prediction was set"


class _Unset:
    """The mark of a prediction that nobody set: None is a prediction too."""


_UNSET = _Unset()


class Call:
    """What `Tap.request` hands out; use it with `with` or `async with`.

    The request is published on entering, as the features are at that moment; the prediction on leaving. An exception
    of the body passes through unchanged and becomes the prediction's error. Set `prediction`, and `scores` or `model`
    where there are any, and `latency_ms` where the service times its model itself; no other attribute is read, and
    setting one is no error.

    Attributes:
        request_id: The key that a later label needs.
        prediction: The live model's answer.
        scores: Its scores: an object or a list.
        model: `name@version`, where it is not the tap's.
        latency_ms: What the model alone took, in milliseconds. Else the whole block is timed, as a call.
    """

    # Defaults live in the class: most calls never set most of them, and every microsecond here is production's.
    prediction: object = _UNSET
    scores: object = None
    model: object = None
    latency_ms: object = None
    _left_out: str | None = None
    _failure: BaseException | None = None
    _started = 0

    def __init__(self, recorder: Recorder, request_id: object, features: object, segments: object, context: object):
        self._recorder = recorder
        self._question = (features, segments, context)
        self._name = recorder.ids.new() if request_id is None else given_id(request_id)

    @property
    def request_id(self) -> str:
        """The request id as text; what cannot be an id (and is counted as such) reads as an empty one."""
        return self._name or ""

    def fail(self, error: BaseException) -> None:
        """Record this error as the answer, without raising it."""
        self._failure = error

    def __enter__(self) -> Self:
        self._left_out = self._recorder.request(self._name, *self._question)
        self._started = perf_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        latency_ms, timed = (perf_ns() - self._started) / 1e6, "call"
        if self.latency_ms is not None and (own_ms := duration_ms(self.latency_ms)) is not None:
            latency_ms, timed = own_ms, "model"
        if self._left_out is not None or self._name is None:
            self._recorder.count(self._left_out or INVALID_ID)
            return
        failure = self._failure if error is None else error
        if failure is not None:
            answer = Answer(latency_ms, error=error_text(failure), model=self.model, timed=timed)
        elif self.prediction is _UNSET:
            answer = Answer(latency_ms, error=NO_PREDICTION, model=self.model, timed=timed)
        else:
            answer = Answer(latency_ms, self.prediction, self.scores, self.model, timed=timed)
        self._recorder.prediction(self._name, answer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
