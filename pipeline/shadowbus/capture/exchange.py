"""One HTTP exchange as it passed by: bounded copies of both bodies, and where in them the parts of a pair are."""

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from shadowbus.capture.asking import asked
from shadowbus.capture.bodies import Body, ExtractionError, Header
from shadowbus.capture.recorder import Answer
from shadowbus.capture.wire import error_text
from shadowbus.clock import now_ms, perf_ns

Message = MutableMapping[str, Any]
Pick = Callable[[Any], object]
"""A function of the user's that picks a part of a parsed JSON body."""


@dataclass(frozen=True, slots=True)
class Picks:
    """How the parts of a request and of its answer are found in the JSON bodies; None takes the documented default."""

    features: Pick | None = None
    segments: Pick | None = None
    prediction: Pick | None = None
    scores: Pick | None = None

    def question(self, body: Any) -> tuple[object, object]:
        """Features and segments of a request body: its `features`, or all of it but `request_id` and `segments`."""
        fields = body if isinstance(body, dict) else {}
        if self.features is not None:
            features = asked(self.features, body)
        elif "features" in fields or not fields:
            features = fields.get("features", body)
        else:
            features = {name: value for name, value in fields.items() if name not in ("request_id", "segments")}
        segments = asked(self.segments, body) if self.segments else fields.get("segments")
        return features, segments

    def answer(self, body: Any, latency_ms: float) -> Answer:
        """The prediction of a response body.

        Raises:
            ExtractionError: It is an object without a `prediction`, and nobody said where else to look.
        """
        fields = body if isinstance(body, dict) else {}
        if self.prediction is None and isinstance(body, dict) and "prediction" not in body:
            raise ExtractionError("the response has no 'prediction'")
        return Answer(
            latency_ms,
            asked(self.prediction, body) if self.prediction else fields.get("prediction", body),
            asked(self.scores, body) if self.scores else fields.get("scores"),
            fields.get("model") if isinstance(fields.get("model"), str) else None,
            timed="exchange",
        )


class Exchange:
    """What one HTTP request and its response looked like, and when."""

    def __init__(self, headers: Iterable[Header], max_body_bytes: int) -> None:
        self.timestamp_ms = now_ms()
        self.asked = Body(max_body_bytes)
        self.answered = Body(max_body_bytes)
        self.asked_headers = headers
        self.answered_headers: Iterable[Header] = ()
        self.settled_id: object = None
        """The request id, where the client was told it already."""
        self._over = False
        self._status: int | None = None
        self._failure: str | None = None
        self._started = perf_ns()
        self._ended = 0

    def received(self, message: Message) -> None:
        """Watch one message from the client. The clock starts when the question is there as a whole."""
        if message["type"] == "http.request" and not self.asked.complete:
            self.asked.add(message.get("body", b""), message.get("more_body", False))
            self._started = perf_ns()

    def sending(self, message: Message) -> None:
        """Watch one message to the client. The clock stops when the answer is there as a whole."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            self.answered_headers = message.get("headers", ())
        elif kind == "http.response.body" and not self.answered.complete:
            self.answered.add(message.get("body", b""), message.get("more_body", False))
            self._ended = perf_ns()
        elif kind == "http.response.pathsend":  # the server reads a file: all of the answer, and none of it was seen
            self.answered.complete = True
            self._ended = perf_ns()

    def ends(self) -> bool:
        """Whether this is the moment to record it: the first time that somebody says it is over, and no other."""
        first, self._over = not self._over, True
        return first

    def failed(self, error: BaseException) -> None:
        """The app raised, or the server did. Only the text is kept: the exception would keep its frames alive."""
        if self._failure is None and not self._over:
            self._failure = error_text(error)

    @property
    def latency_ms(self) -> float:
        """From the last byte of the question to the last byte of the answer, as the service handed it over."""
        return ((self._ended or perf_ns()) - self._started) / 1e6

    @property
    def refused(self) -> bool:
        """Whether the service itself turned the request down, or pointed elsewhere: that is no prediction."""
        return self._failure is None and self._status is not None and 300 <= self._status < 500

    @property
    def error(self) -> str | None:
        """Why there is no answer, if there is none."""
        if self._failure is not None:
            return self._failure
        if self._status is None:
            return "no response was sent"
        if self._status >= 500:
            return f"HTTP {self._status}"
        return None if self.answered.complete else "the response was not finished"
