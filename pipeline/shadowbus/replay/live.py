"""Live predictions, read from their records: checked while they are parsed, because each request has one.

This is where a prediction enters: what is let in here, no later stage refuses, and no record that holds it is too large
for Kafka. An answer that is too large is left out and says so in its `error`; whatever else is wrong is a dead letter.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.json import Decoder, Encoder
from orjson import dumps

from shadowbus.errors import Malformed
from shadowbus.limits import MAX_ANSWER_BYTES, MAX_LATENCY_MS, brief, is_model, too_large
from shadowbus.records.codec import UNREADABLE

_Latency = Annotated[float, Meta(ge=0, le=MAX_LATENCY_MS)] | Annotated[int, Meta(ge=0, le=int(MAX_LATENCY_MS))]


_Timed = Annotated[str, Meta(max_length=20)] | UnsetType | None


class Live(Struct, gc=False):
    """The live side of a comparison. Its id is checked against the record's key and then left out."""

    request_id: str | UnsetType
    model: str
    prediction: Any
    scores: list[Any] | dict[str, Any] | None = None
    latency_ms: _Latency | None = None
    error: str | None = None
    timed: _Timed = UNSET


_read = Decoder(Live).decode
text_of = Encoder().encode
"""A live answer as a comparison holds it."""

MODEL_OF = attrgetter("model")
_ids, _errors = attrgetter("request_id"), attrgetter("error")
_answers = attrgetter("prediction", "scores")


def read_lives(keys: list[bytes], values: list[bytes], timed: str = "") -> list[Live]:
    """N live answers from n records; `timed` is what latencies are of where records do not say.

    Raises:
        Malformed: One of them is not a prediction, or its id is not its key; which one, `read_live` says.
    """
    try:
        lives = list(map(_read, values))
    except UNREADABLE as error:
        raise Malformed(f"not a prediction: {error}") from error
    if list(map(str.encode, map(_ids, lives))) != keys:
        raise Malformed("the field 'request_id' has to be text and the same as the record's key")
    if not all(map(is_model, set(map(MODEL_OF, lives)))):
        raise Malformed("the field 'model' has to be text such as name@version")
    _leave_out(lives)
    for live in lives:
        live.request_id = UNSET
    if timed:
        for live in lives:
            live.timed = live.timed or timed
    return lives


def read_live(key: bytes, value: bytes, timed: str = "") -> Live:
    """One live answer from one record; `timed` as of `read_lives`.

    Raises:
        Malformed: It is not a prediction, or its id is not its key.
    """
    return read_lives([key], [value], timed)[0]


def _leave_out(lives: list[Live]) -> None:
    """Answers and error texts that are too large."""
    if _size(map(_answers, lives)) > MAX_ANSWER_BYTES:
        for live in lives:
            if (size := _size([_answers(live)])) > MAX_ANSWER_BYTES:
                live.prediction = live.scores = None
                live.error = live.error or too_large("answer", size, MAX_ANSWER_BYTES)
    if set(map(_errors, lives)) != {None}:
        for live in lives:
            live.error = None if live.error is None else brief(live.error)


def _size(answers: Iterable[Any]) -> int:
    """How long these are as JSON.

    Raises:
        Malformed: They cannot be written as JSON that others can read.
    """
    try:
        return len(dumps(list(answers)))
    except TypeError as error:
        raise Malformed(f"an answer that JSON cannot pass on: {error}") from error
