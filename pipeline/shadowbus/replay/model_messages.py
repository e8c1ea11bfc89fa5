"""What crosses the border between a worker and its model process, and nothing else does.

Questions and answers go through the channel of `pipe.py`. A question carries raw request values: parsing them is the
model process's work, on another core. An answer carries the model's answers as columns, and for each request the end of
its comparison, ready to be put in. Errors cross as text.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import orjson

from shadowbus.records import Scores

_COUNT = struct.Struct("=II")

FORK, KILL, GONE = b"f", b"k", b"g"
"""What the keeper is asked for: a new worker; an end to one that hangs; an end to one whose channel has closed."""


@dataclass(slots=True)
class Answers:
    """What came back for one question of n rows.

    Each row is malformed, failed or predicted. `predictions` and `scores` hold a value for each predicted row, in the
    order of the rows; `tails` hold what a comparison takes over from its request, for each row that is not malformed.
    `latencies` are milliseconds by position among the predicted rows, `failed` status and text by row.
    """

    predictions: list[Any] = field(default_factory=list)
    scores: list[Scores | None] = field(default_factory=list)
    latencies: dict[int, float] = field(default_factory=dict)
    tails: list[bytes] = field(default_factory=list)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    malformed: dict[int, str] = field(default_factory=dict)
    batch_ms: float = 0.0

    def append(self, part: "Answers", start: int) -> None:
        """Add the answers of the rows from `start` on."""
        before = len(self.predictions)
        self.predictions += part.predictions
        self.scores += part.scores
        self.tails += part.tails
        self.latencies.update({position + before: ms for position, ms in part.latencies.items()})
        self.failed.update({row + start: cause for row, cause in part.failed.items()})
        self.malformed.update({row + start: reason for row, reason in part.malformed.items()})
        self.batch_ms += part.batch_ms


def pack_question(keys: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """N keys and n raw request values as one block."""
    return _pack(b"", (*keys, *values))


def unpack_question(block: bytes) -> tuple[list[bytes], list[bytes]]:
    """The keys and raw request values of a question."""
    _, pieces = _unpack(block)
    half = len(pieces) // 2
    return pieces[:half], pieces[half:]


def pack_answers(answers: Answers) -> bytes:
    """Answers as one block."""
    head = {
        "predictions": answers.predictions,
        "scores": answers.scores,
        "latencies": answers.latencies,
        "failed": answers.failed,
        "malformed": answers.malformed,
        "batch_ms": answers.batch_ms,
    }
    return _pack(orjson.dumps(head, option=orjson.OPT_NON_STR_KEYS), answers.tails)


def unpack_answers(block: bytes) -> Answers:
    """The answers of a block."""
    text, tails = _unpack(block)
    head = orjson.loads(text)
    return Answers(
        predictions=head["predictions"],
        scores=head["scores"],
        latencies={int(position): ms for position, ms in head["latencies"].items()},
        tails=tails,
        failed={int(row): (status, text) for row, (status, text) in head["failed"].items()},
        malformed={int(row): reason for row, reason in head["malformed"].items()},
        batch_ms=head["batch_ms"],
    )


def _pack(head: bytes, pieces: Sequence[bytes]) -> bytes:
    lengths = array("I", map(len, pieces)).tobytes()
    return b"".join((_COUNT.pack(len(head), len(pieces)), head, lengths, *pieces))


def _unpack(block: bytes) -> tuple[bytes, list[bytes]]:
    size, count = _COUNT.unpack_from(block)
    lengths = array("I")
    start = _COUNT.size + size
    end = start + count * lengths.itemsize
    lengths.frombytes(block[start:end])
    pieces = [block[here:there] for here, there in pairwise(accumulate(lengths, initial=end))]
    return block[_COUNT.size : start], pieces
