"""The channel between a worker and its model: numbered messages over two pipes.

A message is the number of its question (8 bytes), its length (4 bytes, both big-endian) and that many bytes. Numbers
begin anywhere, so bytes that a model writes into the channel by itself are not taken for an answer.
"""

import contextlib
import fcntl
import os
import struct

_HEAD = struct.Struct(">QI")
HEAD_BYTES = _HEAD.size

PIPE_BYTES = 1024 * 1024
"""What Linux lets any user make a pipe hold."""


def framed(number: int, block: bytes) -> tuple[bytes, bytes]:
    """A message in the two pieces that it is written in."""
    return _HEAD.pack(number, len(block)), block


def head_of(heard: bytes | bytearray) -> tuple[int, int]:
    """The number of the message that begins here, and its length without the head."""
    number, size = _HEAD.unpack_from(heard)
    return number, size


class Pipe:
    """One end of a channel between two processes: a descriptor to read from, and one to write to.

    The model's end, which has nothing else to do, waits in `send` and `receive`. Pipes are made as large as the system
    allows, so that the next question waits inside while the last is answered.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing

    def send(self, number: int, block: bytes) -> None:
        """Send one message; waits until the other side has room for it.

        Raises:
            OSError: The other side is gone.
        """
        for piece in framed(number, block):
            view = memoryview(piece)
            while view:
                view = view[os.write(self.writing, view) :]

    def receive(self) -> tuple[int, bytes] | None:
        """Receive one message and its number; None when the other side is gone."""
        head = self._exactly(HEAD_BYTES)
        if head is None:
            return None
        number, size = head_of(head)
        block = self._exactly(size)
        return None if block is None else (number, block)

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
