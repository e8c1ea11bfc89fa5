"""What crosses the border between a worker and its model process, and nothing else does.

Questions and answers go through the channel of `pipe.py`. A question carries raw request values: parsing them is the
model process's work, on another core. An answer carries the model's answers as columns, and for each request the end of
its comparison, ready to be put in. Errors cross as text. What is too large for a comparison is made an error where it
is packed; the other side reads with `answer_check.py`, which relies on none of this.
"""

import dataclasses
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import orjson

from shadowbus.limits import MAX_ANSWER_BYTES, too_large
from shadowbus.records import Scores

_COUNT = struct.Struct("=II")

FORK, KILL, GONE = b"f", b"k", b"g"
"""What the fork server is asked for: a new worker; an end to one that hangs; an end to one whose channel has closed."""

MAX_FRAME_BYTES = 16 * MAX_ANSWER_BYTES
"""The most that is taken in as the answer to one question, however many rows it has."""

TEXT_CHARACTERS = 300
"""The most that is taken over of an error's text."""


@dataclass(slots=True)
class Detours:
    """How often the short way to an answer failed, unseen in the answers, and what was said then.

    `matrix`: rows read straight into numbers were predicted again from their features. `batch`: rows could only be
    predicted in smaller batches, none of them guilty. `alone`: a row that was predicted with others raised when it was
    timed alone. `missing`: what a failed row lacks could not be found out. `reason` is empty unless a way was given up.
    """

    matrix: int = 0
    batch: int = 0
    alone: int = 0
    missing: int = 0
    reason: str = ""

    def add(self, other: "Detours") -> None:
        """Count those too; what is given up now is what was given up last."""
        self.matrix += other.matrix
        self.batch += other.batch
        self.alone += other.alone
        self.missing += other.missing
        self.reason = other.reason


@dataclass(slots=True)
class Answers:
    """What came back for one question of n rows.

    Each row is malformed, failed or predicted. `predictions` and `scores` hold a value for each predicted row, in the
    order of the rows; `tails` hold what a comparison takes over from its request, for each row that is not malformed.
    `latencies` are milliseconds by position among the predicted rows, and of what `timed` says; `failed` are status and
    text by row.
    """

    predictions: list[Any] = field(default_factory=list)
    scores: list[Scores | None] = field(default_factory=list)
    latencies: dict[int, float] = field(default_factory=dict)
    timed: str | None = "model"
    tails: list[bytes] = field(default_factory=list)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    malformed: dict[int, str] = field(default_factory=dict)
    batch_ms: float = 0.0
    detours: Detours = field(default_factory=Detours)

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
        self.detours.add(part.detours)


def pack_question(keys: Sequence[bytes], values: Sequence[bytes], share: float | None = None) -> bytes:
    """N keys and n raw request values as one block; with the share of time for single rows, where it has changed."""
    return _pack(b"" if share is None else b"%r" % share, (*keys, *values))


def unpack_question(block: bytes) -> tuple[list[bytes], list[bytes], float | None]:
    """The keys and raw request values of a question, and the share."""
    share, pieces = unpack(block)
    half = len(pieces) // 2
    return pieces[:half], pieces[half:], float(share) if share else None


def pack_answers(answers: Answers) -> bytes:
    """Answers as one block. A row whose answer is too large for a comparison fails, and says so."""
    head = _head(answers)
    if len(head) > MAX_ANSWER_BYTES:
        _fail_large(answers)
        head = _head(answers)
    return _pack(head, answers.tails)


def answer_bytes(prediction: object, scores: Scores | None) -> int:
    """How many bytes one row's answer takes as JSON."""
    return len(orjson.dumps(prediction)) + len(orjson.dumps(scores))


def _head(answers: Answers) -> bytes:
    head = {
        "predictions": answers.predictions,
        "scores": answers.scores,
        "latencies": answers.latencies,
        "failed": answers.failed,
        "malformed": answers.malformed,
        "batch_ms": answers.batch_ms,
        "detours": dataclasses.asdict(answers.detours),
    }
    return orjson.dumps(head, option=orjson.OPT_NON_STR_KEYS)


def _fail_large(answers: Answers) -> None:
    """Make each answer that is too large an error of its row."""
    rows = range(len(answers.tails) + len(answers.malformed))
    predicted = [row for row in rows if row not in answers.failed and row not in answers.malformed]
    good: list[int] = []
    for position, row in enumerate(predicted):
        size = answer_bytes(answers.predictions[position], answers.scores[position])
        if size <= MAX_ANSWER_BYTES:
            good.append(position)
        else:
            answers.failed[row] = "shadow_error", too_large("answer", size, MAX_ANSWER_BYTES)
    answers.latencies = {new: answers.latencies[old] for new, old in enumerate(good) if old in answers.latencies}
    answers.predictions = [answers.predictions[position] for position in good]
    answers.scores = [answers.scores[position] for position in good]


def _pack(head: bytes, pieces: Sequence[bytes]) -> bytes:
    lengths = array("I", map(len, pieces)).tobytes()
    return b"".join((_COUNT.pack(len(head), len(pieces)), head, lengths, *pieces))


def unpack(block: bytes) -> tuple[bytes, list[bytes]]:
    """The head and the pieces of a block.

    Raises:
        ValueError: It is not a block, or not all of it is.
    """
    if len(block) < _COUNT.size:
        raise ValueError("it is too short")
    size, count = _COUNT.unpack_from(block)
    lengths = array("I")
    start = _COUNT.size + size
    end = start + count * lengths.itemsize
    lengths.frombytes(block[start:end])
    if end + sum(lengths) != len(block):
        raise ValueError("its lengths do not fit")
    pieces = [block[here:there] for here, there in pairwise(accumulate(lengths, initial=end))]
    return block[_COUNT.size : start], pieces
