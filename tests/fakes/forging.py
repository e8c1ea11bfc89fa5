"""What a hostile model writes into its own channel: it finds the pipe, and the number of the question, in the stack."""

import contextlib
import os
import struct
import sys
import time
from typing import Any

import orjson

from shadowbus.replay.model.messages import Answers, pack_answers
from shadowbus.replay.model.pipe import Pipe, framed


def channel() -> tuple[Pipe, int, int]:
    """The channel to the worker's parent, the number of the question, and how many rows it has."""
    frame: Any = sys._getframe()
    rows = 0
    while frame is not None:
        rows = len(frame.f_locals["keys"]) if "keys" in frame.f_locals else rows
        if "pipe" in frame.f_locals and "number" in frame.f_locals:
            return frame.f_locals["pipe"], frame.f_locals["number"], rows
        frame = frame.f_back
    raise LookupError("the model's worker has no channel")


def forge(block: bytes) -> None:
    """Give a block of one's own as the answer, and say no more."""
    pipe, number, _ = channel()
    pipe.send(number, block)
    time.sleep(3600)


def forged(**changes: object) -> bytes:
    """An answer to one row, a failed one so that nothing else has to be known of it, with changes in its head."""
    block = pack_answers(Answers(failed={0: ("shadow_error", "forged")}, tails=[b"{}"]))
    size, count = struct.unpack_from("=II", block)
    head = orjson.loads(block[8 : 8 + size])
    text = orjson.dumps({**head, **changes})
    return struct.pack("=II", len(text), count) + text + block[8 + size :]


def announce(size: int) -> None:
    """Begin an answer of that size, send as much as anybody takes, and never end."""
    pipe, number, _ = channel()
    os.write(pipe.writing, struct.pack(">QI", number, size))
    with contextlib.suppress(OSError):
        while True:
            os.write(pipe.writing, b"x" * 65_536)
    time.sleep(3600)


def drip() -> None:
    """Answer a byte at a time, without haste and without end."""
    pipe, number, _ = channel()
    for byte in b"".join(framed(number, b"x" * 10_000)):
        os.write(pipe.writing, bytes([byte]))
        time.sleep(0.02)


def flood() -> None:
    """Write frames with any number, as fast as they are taken."""
    pipe, number, _ = channel()
    while True:
        pipe.send(number + 1, b"x" * 65_536)
