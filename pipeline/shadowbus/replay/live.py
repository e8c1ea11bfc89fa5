"""Live predictions, read from their records: checked while they are parsed, because each request has one."""

from operator import attrgetter
from typing import Any

from msgspec import UNSET, MsgspecError, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from shadowbus.errors import Malformed

MODEL_CHARACTERS = 200

UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading JSON into a type raises for a record that is not what it should be."""


class Live(Struct, gc=False):
    """The live side of a comparison. Its id is checked against the record's key and then left out."""

    request_id: str | UnsetType
    model: str
    prediction: Any
    scores: list[Any] | dict[str, Any] | None = None
    latency_ms: float | int | None = None
    error: str | None = None


_read = Decoder(Live).decode
text_of = Encoder().encode
"""A live answer as it stands in a comparison."""

_ids, _models = attrgetter("request_id"), attrgetter("model")


def read_lives(keys: list[bytes], values: list[bytes]) -> list[Live]:
    """N live answers from n records.

    Raises:
        Malformed: One of them is not a prediction, or its id is not its key; which one, `read_live` says.
    """
    try:
        lives = list(map(_read, values))
    except UNREADABLE as error:
        raise Malformed(f"not a prediction: {error}") from error
    if list(map(str.encode, map(_ids, lives))) != keys:
        raise Malformed("the field 'request_id' has to be text and the same as the record's key")
    for model in set(map(_models, lives)):
        if not 0 < len(model) <= MODEL_CHARACTERS or "|" in model or "~" in model:
            raise Malformed("the field 'model' has to be text such as name@version")
    for live in lives:
        live.request_id = UNSET
    return lives


def read_live(key: bytes, value: bytes) -> Live:
    """One live answer from one record.

    Raises:
        Malformed: It is not a prediction, or its id is not its key.
    """
    return read_lives([key], [value])[0]
