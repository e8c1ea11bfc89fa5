"""The three records that production writes, as JSON bytes. What cannot be in one raises, here and nowhere later.

Values are made plain first (`plain`), which also finds out what is too large before it is written; then each record is
one orjson call. NaN and infinities become null: JSON has no word for them.
"""

from typing import Any

import orjson

from shadowbus.capture.asking import NoAnswerError, asked
from shadowbus.capture.kinds import UnwritableError
from shadowbus.capture.plain import TooLargeError, is_flat, plain
from shadowbus.limits import MAX_SEGMENTS_BYTES

MAX_ERROR_CHARACTERS = 500
RECORD_BYTES = 1_000_000
"""What a record may take where nobody said otherwise."""


def request_value(
    request_id: str, timestamp_ms: int, features: object, segments: object, context: object, most: int = RECORD_BYTES
) -> bytes:
    """The value of one record of the topic `requests`, of not many more than `most` bytes.

    Raises:
        TypeError: Something cannot be written as JSON, or is not the object (or list) it has to be.
        TooLargeError: The features, segments or context are too large, or take too long to read.
    """
    # The quick way first, without a call more than it takes: every microsecond here is production's.
    if type(features) is not dict or not is_flat(features, most):
        features = _structure(features, most)
    if segments is None:
        segments = {}
    elif type(segments) is not dict or not is_flat(segments, most):
        segments = _named(segments, most)
    value = orjson.dumps(
        {
            "v": 1,
            "request_id": request_id,
            "timestamp_ms": timestamp_ms,
            "features": features,
            "segments": segments,
            "context": {} if context is None else _named(context, most),
        }
    )
    if len(value) > MAX_SEGMENTS_BYTES < len(orjson.dumps(segments)):
        raise TooLargeError(f"segments of more than {MAX_SEGMENTS_BYTES} bytes")
    return value


def prediction_value(
    request_id: str,
    timestamp_ms: int,
    model: str,
    prediction: object,
    scores: object,
    latency_ms: float,
    error: str | None,
    timed: str,
    most: int = RECORD_BYTES,
) -> bytes:
    """The value of one record of the topic `predictions`, of not many more than `most` bytes.

    Raises:
        TypeError: Something cannot be written as JSON, or the scores are neither an object nor a list.
        TooLargeError: The prediction or the scores are too large, or take too long to read.
    """
    return orjson.dumps(
        {
            "v": 1,
            "request_id": request_id,
            "timestamp_ms": timestamp_ms,
            "model": model,
            "prediction": plain(prediction, most),
            "scores": None if scores is None else _scores(scores, most),
            "latency_ms": latency_ms,
            "error": error,
            "timed": timed,
        }
    )


def label_value(
    request_id: str, timestamp_ms: int, label: object, probability: float | None = None, most: int = RECORD_BYTES
) -> bytes:
    """The value of one record of the topic `labels`, of not many more than `most` bytes.

    Raises:
        TypeError: The label cannot be written as JSON.
        TooLargeError: It is too large, or takes too long to read.
    """
    record = {"v": 1, "request_id": request_id, "timestamp_ms": timestamp_ms, "label": plain(label, most)}
    if probability is not None:
        record["probability"] = probability
    return orjson.dumps(record)


def error_text(error: BaseException) -> str:
    """An exception's type and message, bounded, and always text that JSON can hold."""
    try:
        message = asked(str, error)[:MAX_ERROR_CHARACTERS]
    except NoAnswerError:  # an exception whose own __str__ fails is still an exception to report
        message = "(its message cannot be read)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text[:MAX_ERROR_CHARACTERS].encode("utf-8", "replace").decode()


def is_structure(value: object) -> bool:
    """Whether this is an object or a list in plain form."""
    return type(value) is dict or type(value) is list or type(value) is tuple


def _structure(value: object, most: int) -> Any:
    found = plain(value, most)
    if is_structure(found):
        return found
    raise UnwritableError(f"{type(value).__name__} is neither an object nor a list of values")


def _named(value: object, most: int) -> dict[str, Any]:
    found = plain(value, most)
    if type(found) is dict:
        return found
    raise UnwritableError(f"{type(value).__name__} is not an object of named values")


def _scores(value: object, most: int) -> Any:
    """An object or a list of numbers; models that answer rows say one row of them, and that row is meant."""
    if type(value) is dict and is_flat(value, most):
        return value
    found = _structure(value, most)
    one_row = len(found) == 1 and type(found) is not dict and type(found[0]) in (list, tuple)
    return found[0] if one_row else found
