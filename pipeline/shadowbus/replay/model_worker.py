"""One forked worker of the model process, seen from the parent.

Neither side may wait to write while the other does, so this one never does: whenever it is asked for anything it writes
what the pipe takes and reads what is there. A thread for each direction would do too, but each piece would have to wait
for the interpreter, which the join keeps busy.
"""

import os
import secrets
import select
from collections import deque

from shadowbus.clock import Deadline
from shadowbus.replay.pipe import HEAD_BYTES, PIPE_BYTES, Pipe, framed, head_of


class ModelWorker:
    """A worker that takes questions and answers them in their order.

    `gone` says that nothing more will come from it, `garbled` that something came that was no answer, `answered` how
    many answers it has given.
    """

    def __init__(self, pipe: Pipe, pid: int) -> None:
        self.pipe, self.pid = pipe, pid
        self.gone = self.garbled = False
        self.answered = 0
        self._number = self._due = secrets.randbits(63)
        self._unsent: deque[memoryview] = deque()
        self._heard = bytearray()
        for descriptor in (pipe.reading, pipe.writing):
            os.set_blocking(descriptor, False)

    def ask(self, block: bytes) -> None:
        """Put a question on its way; never waits."""
        self._unsent += map(memoryview, framed(self._number, block))
        self._number += 1
        self._write()

    def move(self) -> bool:
        """Write what there is room for and read what is there; whether there was any, or the end."""
        wrote = self._write()
        return (not self.gone and self._read()) or wrote

    def next_answer(self, seconds: float) -> bytes | None:
        """The next answer, or None when none comes in time or ever."""
        deadline = Deadline.after(seconds)
        while True:
            if (block := self._next_heard()) is not None:
                self.answered += 1
                return block
            moved = self.move()
            if not moved and (self.gone or deadline.passed):
                return None
            if not moved:
                self._wait(deadline.remaining())

    def close(self) -> None:
        """Let go of a worker that has been ended."""
        self.gone = True
        self.pipe.close()

    def _write(self) -> bool:
        """Write as much as there is room for; whether any was written."""
        moved = False
        while self._unsent:
            try:
                written = os.write(self.pipe.writing, self._unsent[0])
            except BlockingIOError:
                break
            except OSError:  # nobody reads any more; that it is gone shows on the other pipe
                self._unsent.clear()
                break
            moved = True
            rest = self._unsent.popleft()[written:]
            if rest:
                self._unsent.appendleft(rest)
        return moved

    def _read(self) -> bool:
        """Read what is there; whether there was anything, or the end."""
        try:
            piece = os.read(self.pipe.reading, PIPE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self._heard += piece
        self.gone = not piece
        return True

    def _next_heard(self) -> bytes | None:
        """The answer that is due, once all of it was read. What is not an answer ends the worker, unread."""
        if self.garbled or len(self._heard) < HEAD_BYTES:
            return None
        number, size = head_of(self._heard)
        if number != self._due:
            self.garbled = self.gone = True
            return None
        end = HEAD_BYTES + size
        if len(self._heard) < end:
            return None
        with memoryview(self._heard) as view:
            block = bytes(view[HEAD_BYTES:end])
        del self._heard[:end]
        self._due += 1
        return block

    def _wait(self, seconds: float) -> None:
        """Until something can be read, or written if there is anything to write."""
        waiting = select.poll()
        waiting.register(self.pipe.reading, select.POLLIN)
        if self._unsent:
            waiting.register(self.pipe.writing, select.POLLOUT)
        waiting.poll(seconds * 1000)
