"""Takes answers from the model's process, and believes nothing that is not shown.

In: the bytes of an answer, and the rows that were asked. Out: answers that every later step can rely on. Guaranteed:
each row is malformed, failed or predicted; what is counted fits together; every number is finite and possible, every
text short, every request the one that was asked for. Anything else is `Garbled`. How large one row's answer may be, and
that it can be written as JSON again, is held by `answer_json.py`, for answers of any origin.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from shadowbus.limits import MAX_LATENCY_MS
from shadowbus.records import Scores
from shadowbus.records.comparison_tail import read_tails
from shadowbus.replay.model.messages import TEXT_CHARACTERS, Answers, Detours, unpack
from shadowbus.replay.model.requests import RequestReader

Place = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0, le=MAX_LATENCY_MS)]
Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Garbled(Exception):
    """The bytes are no answer to the question; the text says what is wrong with them."""


class _Detours(Struct, forbid_unknown_fields=True):
    matrix: Count
    batch: Count
    alone: Count
    missing: Count
    reason: Text


class _Head(Struct, forbid_unknown_fields=True):
    predictions: list[Any]
    scores: list[Scores | None]
    latencies: dict[Place, Milliseconds]
    failed: dict[Place, tuple[Literal["shadow_error"], Text]]
    malformed: dict[Place, Text]
    batch_ms: Milliseconds
    detours: _Detours


_head = Decoder(_Head).decode
_id_of = attrgetter("request_id")


def read_answers(block: bytes, keys: Sequence[bytes], values: Sequence[bytes]) -> Answers:
    """The answers of a block to a question of n keys and n raw request values.

    Raises:
        Garbled: The block is no answer to that question.
    """
    try:
        text, tails = unpack(block)
        head = _head(text)
        _check_counts(head, len(keys), len(tails))
        _check_tails(tails, [key for row, key in enumerate(keys) if row not in head.malformed])
    except (DecodeError, ValueError, TypeError, RecursionError) as error:
        raise Garbled(f"gave bytes that are no answer: {error}"[:TEXT_CHARACTERS]) from error
    return Answers(
        predictions=head.predictions,
        scores=head.scores,
        latencies=head.latencies,
        tails=tails,
        failed=dict(head.failed),
        malformed=_malformed(head.malformed, keys, values),
        batch_ms=head.batch_ms,
        detours=Detours(**{name: getattr(head.detours, name) for name in _Detours.__struct_fields__}),
    )


def _check_counts(head: _Head, rows: int, tails: int) -> None:
    if any(row >= rows for named in (head.failed, head.malformed) for row in named):
        raise ValueError("it names rows that were not asked")
    if head.failed.keys() & head.malformed.keys():
        raise ValueError("it says of a row both that it failed and that it is malformed")
    predicted = rows - len(head.failed) - len(head.malformed)
    found = (len(head.predictions), len(head.scores), tails)
    if found != (predicted, predicted, rows - len(head.malformed)):
        raise ValueError(f"{found} predictions, scores and requests do not fit {rows} rows")
    if None in head.predictions:
        raise ValueError("a prediction is null")
    if any(position >= predicted for position in head.latencies):
        raise ValueError("it has a latency of a row that was not predicted")


def _check_tails(tails: list[bytes], keys: list[bytes]) -> None:
    """Tails go into comparisons as they are, so each has to be one, of its own request."""
    ids = map(_id_of, read_tails(tails))
    if list(map(str.encode, ids)) != keys:
        raise ValueError("it takes one request for another")


def _malformed(said: dict[int, str], keys: Sequence[bytes], values: Sequence[bytes]) -> dict[int, str]:
    """Why rows are no requests, as this side finds: a dead letter must be the sender's fault, not the model's."""
    if not said:
        return {}
    rows = sorted(said)
    found = RequestReader().read([keys[row] for row in rows], [values[row] for row in rows])
    if found.rows:
        raise Garbled("calls requests malformed that are not")
    return {row: found.malformed[position] for position, row in enumerate(rows)}


def failed_answers(keys: Sequence[bytes], values: Sequence[bytes], cause: tuple[str, str]) -> Answers:
    """Every row that is a request failed for one cause (status and text); the others are malformed."""
    found = RequestReader().read(list(keys), values)
    return Answers(
        tails=found.tails,
        failed=dict.fromkeys(found.rows, cause),
        malformed=found.malformed,
    )
