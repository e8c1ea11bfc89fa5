"""Turns one finished HTTP exchange into a request and a prediction, or into a count of why not."""

import contextlib
from typing import Any

from shadowbus.capture.bodies import BodyTooLargeError, find
from shadowbus.capture.counters import EXTRACTION_FAILED, TOO_LARGE
from shadowbus.capture.exchange import Exchange, Message, Picks
from shadowbus.capture.recorder import Answer, Recorder


class Mirror:
    """Knows where ids, features and predictions are in HTTP messages, and records them."""

    def __init__(self, recorder: Recorder, picks: Picks, id_header: str | None) -> None:
        self._recorder = recorder
        self._picks = picks
        self._id_header = id_header.lower().encode() if id_header else None

    def record(self, exchange: Exchange) -> None:
        """Record a finished exchange: both halves, or neither and why. Never raises."""
        if exchange.refused:
            self._recorder.tallies.refused.add()
            return
        try:
            left_out = self._publish(exchange)
        except BodyTooLargeError:
            left_out = self._recorder.count(TOO_LARGE)
        except Exception:  # bodies that are not what the picks expect, or a pick of the user's that fails
            left_out = self._recorder.count(EXTRACTION_FAILED)
        if left_out is not None:
            self._recorder.count(left_out)  # the other half of the pair

    def with_id(self, exchange: Exchange, start: Message) -> Message:
        """The response's start with the request id among its headers, unless it has one; this settles the id."""
        header = self._id_header or b"x-request-id"
        own = find(exchange.answered_headers, header)
        asked = self._body_or_none(exchange)
        given = _first(find(exchange.asked_headers, self._id_header), own, _field(asked, "request_id"))
        name = self._recorder.identify(given)
        exchange.settled_id = given if name is None else name
        if own is not None or name is None or not (name.isascii() and name.isprintable()):
            return start  # what is not plain text could smuggle a second header in
        return {**start, "headers": [*exchange.answered_headers, (header, name.encode())]}

    def _publish(self, exchange: Exchange) -> str | None:
        error = exchange.error
        asked = exchange.asked.parsed(exchange.asked_headers)
        features, segments = self._picks.question(asked)
        answered = None if error else exchange.answered.parsed(exchange.answered_headers)
        latency_ms = exchange.latency_ms
        answer = (
            Answer(latency_ms, error=error, timed="exchange") if error else self._picks.answer(answered, latency_ms)
        )
        name = self._recorder.identify(_first(exchange.settled_id, self._given(exchange, asked, answered)))
        left_out = self._recorder.request(name, features, segments, None, exchange.timestamp_ms)
        if left_out is None and name is not None:
            self._recorder.prediction(name, answer)
        return left_out

    @staticmethod
    def _body_or_none(exchange: Exchange) -> Any:
        with contextlib.suppress(ValueError):
            return exchange.asked.parsed(exchange.asked_headers)
        return None

    def _given(self, exchange: Exchange, asked: Any, answered: Any) -> object:
        return _first(
            find(exchange.asked_headers, self._id_header),
            find(exchange.answered_headers, self._id_header),
            _field(asked, "request_id"),
            _field(answered, "request_id"),
        )


def _field(body: Any, name: str) -> object:
    return body.get(name) if isinstance(body, dict) else None


def _first(*candidates: object) -> object:
    return next((candidate for candidate in candidates if candidate is not None), None)
