"""What crosses the border between a worker and its model process, and nothing else does.

A message is its length (4 bytes, big-endian) and that many bytes. A question carries raw request values: parsing them
is the model process's work, on another core. An answer carries JSON that is ready to be put into a comparison, so that
the worker parses only what it has to compare. Errors cross as text.
"""

import contextlib
import fcntl
import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shadowbus.errors import Malformed
from shadowbus.records import Scores, parse_object

_LENGTH = struct.Struct(">I")
_HEADER = struct.Struct("=II")

PIPE_BYTES = 1024 * 1024
"""What Linux lets any user make a pipe hold."""

MAX_SEGMENTS_BYTES = 4_096
"""More than this in `segments` is no slicing any more, and would be copied into every comparison."""


@dataclass(slots=True)
class Answers:
    """What came back for one question of n rows.

    Each row is malformed, failed or predicted. `predictions`, `scores` and `shadows` hold a value for each predicted
    row, in the order of the rows; `requests` one for each that is not malformed. `failed` gives status and text by row.
    """

    predictions: list[Any] = field(default_factory=list)
    scores: list[Scores | None] = field(default_factory=list)
    shadows: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    malformed: dict[int, str] = field(default_factory=dict)
    batch_ms: float = 0.0


def pack_question(keys: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """N keys and n raw request values as one block."""
    lengths = array("I", map(len, keys))
    lengths.extend(map(len, values))
    return b"".join((_HEADER.pack(0, len(keys)), lengths.tobytes(), *keys, *values))


def unpack_question(block: bytes) -> tuple[list[bytes], list[memoryview]]:
    """The keys and raw request values of a question."""
    view = memoryview(block)
    _, count = _HEADER.unpack_from(block)
    lengths = array("I")
    start = _HEADER.size + 2 * count * lengths.itemsize
    lengths.frombytes(view[_HEADER.size : start])
    pieces: list[memoryview] = []
    for length in lengths:
        pieces.append(view[start : start + length])
        start += length
    return [bytes(piece) for piece in pieces[:count]], pieces[count:]


def pack_answers(answers: Answers) -> bytes:
    """Answers as one block: JSON for what the worker has to look into, ready fragments a line each for the rest."""
    head = orjson.dumps(
        {
            "predictions": answers.predictions,
            "scores": answers.scores,
            "failed": answers.failed,
            "malformed": answers.malformed,
            "batch_ms": answers.batch_ms,
        },
        option=orjson.OPT_NON_STR_KEYS,
    )
    shadows = b"\n".join(answers.shadows)
    return b"".join((_HEADER.pack(len(head), len(shadows)), head, shadows, b"\n".join(answers.requests)))


def unpack_answers(block: bytes) -> Answers:
    """The answers of a block."""
    head_size, shadows_size = _HEADER.unpack_from(block)
    start = _HEADER.size
    head = orjson.loads(memoryview(block)[start : start + head_size])
    start += head_size
    shadows, requests = block[start : start + shadows_size], block[start + shadows_size :]
    return Answers(
        predictions=head["predictions"],
        scores=head["scores"],
        shadows=shadows.split(b"\n") if shadows else [],
        requests=requests.split(b"\n") if requests else [],
        failed={int(row): (status, text) for row, (status, text) in head["failed"].items()},
        malformed={int(row): reason for row, reason in head["malformed"].items()},
        batch_ms=head["batch_ms"],
    )


def read_request(key: bytes, value: bytes | memoryview) -> dict[str, Any]:
    """A request's parsed value.

    Raises:
        Malformed: It is not a request, or its id is not its key.
    """
    parsed = parse_object(value)
    features, segments, request_id = parsed.get("features"), parsed.get("segments"), parsed.get("request_id")
    if type(features) is not dict and type(features) is not list:
        raise Malformed("the field 'features' has to be an object or a list")
    if type(parsed.get("timestamp_ms")) is not int:
        raise Malformed("the field 'timestamp_ms' has to be an integer")
    if type(request_id) is not str or request_id.encode() != key:
        raise Malformed("the field 'request_id' has to be text and the same as the record's key")
    if segments is not None and type(segments) is not dict:
        raise Malformed("the field 'segments' has to be an object")
    if len(value) > MAX_SEGMENTS_BYTES and segments and len(orjson.dumps(segments)) > MAX_SEGMENTS_BYTES:
        raise Malformed(f"the field 'segments' has more than {MAX_SEGMENTS_BYTES} bytes")
    return parsed


def request_fragment(parsed: dict[str, Any], missing: Sequence[str]) -> bytes:
    """What a comparison takes over from its request, as the end of a JSON object."""
    return orjson.dumps(
        {
            "request_id": parsed["request_id"],
            "timestamp_ms": parsed["timestamp_ms"],
            "segments": parsed.get("segments") or {},
            "missing_features": missing,
        }
    )[1:]


def unanswered(keys: Sequence[bytes], values: Sequence[bytes], cause: tuple[str, str]) -> Answers:
    """The answers for rows that a model did not answer, for a cause (status and text) that they share."""
    answers = Answers()
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        try:
            answers.requests.append(request_fragment(read_request(key, value), ()))
        except Malformed as error:
            answers.malformed[row] = str(error)
        else:
            answers.failed[row] = cause
    return answers


class Pipe:
    """One end of a channel between two processes: a descriptor to read from, and one to write to.

    Pipes are made as large as the system allows, so that the next question waits inside while the last is answered.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing

    def send(self, block: bytes) -> None:
        """Send one message; waits until the other side has room for it.

        Raises:
            OSError: The other side is gone.
        """
        view = memoryview(_LENGTH.pack(len(block)) + block)
        while view:
            view = view[os.write(self.writing, view) :]

    def receive(self) -> bytes | None:
        """Receive one message; None when the other side is gone."""
        head = self._exactly(_LENGTH.size)
        return None if head is None else self._exactly(_LENGTH.unpack(head)[0])

    def close(self) -> None:
        """Close both ends; the other side sees it."""
        os.close(self.reading)
        os.close(self.writing)

    def _exactly(self, size: int) -> bytes | None:
        pieces: list[bytes] = []
        while size:
            try:
                piece = os.read(self.reading, size)
            except OSError:
                return None
            if not piece:
                return None
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def make_pipes() -> tuple[Pipe, Pipe]:
    """Both ends of a channel."""
    first, second = os.pipe(), os.pipe()
    for reading, _ in (first, second):
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return Pipe(first[0], second[1]), Pipe(second[0], first[1])
