"""The three records that production writes, as JSON bytes. Anything JSON cannot say raises, here and nowhere later.

The usual case (dicts and lists of plain or numpy values) is one orjson call. Only when that fails is the record tried
again with what costs more: keys that are not text, and objects that know how to become plain data.
NaN and infinities become null: JSON has no word for them.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

MAX_ERROR_CHARACTERS = 500

_FAST = orjson.OPT_SERIALIZE_NUMPY
_THOROUGH = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class UnwritableError(TypeError):
    """This value has no place in the record."""


def request_value(request_id: str, timestamp_ms: int, features: object, segments: object, context: object) -> bytes:
    """The value of one record of the topic `requests`.

    Raises:
        TypeError: Something cannot be written as JSON, or is not the object (or list) it has to be.
    """
    if type(features) is not dict and type(features) is not list:
        features = _structure(features, b"{[")
    return _dumps(
        {
            "v": 1,
            "request_id": request_id,
            "timestamp_ms": timestamp_ms,
            "features": features,
            "segments": {} if segments is None else segments if type(segments) is dict else _structure(segments, b"{"),
            "context": {} if context is None else context if type(context) is dict else _structure(context, b"{"),
        }
    )


def prediction_value(
    request_id: str,
    timestamp_ms: int,
    model: str,
    prediction: object,
    scores: object,
    latency_ms: float,
    error: str | None,
) -> bytes:
    """The value of one record of the topic `predictions`.

    Raises:
        TypeError: Something cannot be written as JSON, or the scores are neither an object nor a list.
    """
    if scores is not None and type(scores) is not dict and type(scores) is not list:
        scores = _structure(scores, b"{[")
    return _dumps(
        {
            "v": 1,
            "request_id": request_id,
            "timestamp_ms": timestamp_ms,
            "model": model,
            "prediction": prediction,
            "scores": scores,
            "latency_ms": latency_ms,
            "error": error,
        }
    )


def label_value(request_id: str, timestamp_ms: int, label: object, probability: float | None = None) -> bytes:
    """The value of one record of the topic `labels`.

    Raises:
        TypeError: The label cannot be written as JSON.
        ValueError: The probability is none.
    """
    record = {"v": 1, "request_id": request_id, "timestamp_ms": timestamp_ms, "label": label}
    if probability is not None:
        if not 0 < probability <= 1:
            raise ValueError(f"A label's probability is above 0 and at most 1, not {probability!r}.")
        record["probability"] = float(probability)
    return _dumps(record)


def error_text(error: BaseException) -> str:
    """An exception's type and message, bounded, and always text that JSON can hold."""
    try:
        message = str(error)
    except Exception:  # an exception whose own __str__ fails is still an exception to report
        message = "(its message cannot be read)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text[:MAX_ERROR_CHARACTERS].encode("utf-8", "replace").decode()


def _dumps(record: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(record, _plain, _FAST)
    except TypeError:
        return orjson.dumps(record, _plain, _THOROUGH)


def _structure(value: object, opening: bytes) -> orjson.Fragment:
    """An unusual container, written on its own so that what it turned out to be can be checked."""
    written = orjson.dumps(value, _plain, _THOROUGH)
    if written[0] not in opening:
        raise UnwritableError(f"{type(value).__name__} is neither an object nor a list of values")
    return orjson.Fragment(written)


def _plain(value: Any) -> object:
    """What orjson does not know, as something it does: asked for only when it meets such a value."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Decimal):
        return float(value)
    for method in ("model_dump", "_asdict"):
        if hasattr(value, method):
            return getattr(value, method)()
    if hasattr(value, "tolist"):
        # A pandas Series has names worth keeping; a frame has rows, and which one is meant is not ours to guess.
        return value.to_dict() if hasattr(value, "to_dict") else value.tolist()
    raise UnwritableError(f"{type(value).__name__} cannot be written as JSON")
