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
from shadowbus.limits import MAX_ANSWER_BYTES
from shadowbus.replay.model.messages import MAX_FRAME_BYTES
from shadowbus.replay.model.pipe import HEAD_BYTES, PIPE_BYTES, Pipe, framed, head_of

READ_AHEAD_BYTES = 4 * PIPE_BYTES
"""So much is read before it is asked for, so that the model need not wait; what is due is read to its end."""

LATE_READS = 4
"""When the time is over, what has come by then is still read, and no more: an answer may drip for ever."""


class ForkedWorker:
    """A worker that takes questions and answers them in their order.

    `gone` says that nothing more will come from it, `garbled` what came that was no answer, and `answered` how many
    answers it has given.

    Args:
        pipe: This side's ends of its channel.
        pid: Its process id, for those who look at it.
        alive: A descriptor that can be read once it is dead, where the system has such; a process that it has
            started may hold its channel open longer.
    """

    def __init__(self, pipe: Pipe, pid: int, alive: int | None = None) -> None:
        self.pipe, self.pid, self.alive = pipe, pid, alive
        self.gone, self.garbled = False, ""
        self.answered = 0
        self._number = self._due = secrets.randbits(63)
        self._most: deque[int] = deque()  # bytes of each answer that is under way
        self._unsent: deque[memoryview] = deque()
        self._received = bytearray()
        for descriptor in (pipe.reading, pipe.writing):
            os.set_blocking(descriptor, False)

    def ask(self, block: bytes, rows: int) -> None:
        """Put a question of this many rows on its way; never waits."""
        self._most.append(min(MAX_FRAME_BYTES, rows * 2 * MAX_ANSWER_BYTES + len(block)))
        self._unsent += map(memoryview, framed(self._number, block))
        self._number += 1
        self._write()

    def move(self) -> bool:
        """Write what there is room for and read what is there; whether there was any, or the end."""
        wrote = self._write()
        return (not self.gone and self._read()) or wrote

    def next_answer(self, seconds: float) -> bytes | None:
        """The next answer, or None when none comes in time or ever."""
        deadline, late = Deadline.after(seconds), 0
        while late <= LATE_READS:
            if (block := self._next_heard()) is not None:
                self.answered += 1
                return block
            if self.garbled:
                return None
            moved = self.move()
            late += deadline.passed
            if not moved and (self.gone or late):
                return None
            if not moved:
                self._wait(deadline.remaining())
        return None

    def spoil(self, what: str) -> None:
        """Something came from it that was no answer: it is not listened to any more."""
        self.garbled, self.gone = what, True

    def close(self) -> None:
        """Release the descriptors of a worker that has ended."""
        self.gone = True
        self.pipe.close()
        if self.alive is not None:
            os.close(self.alive)
            self.alive = None

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
        """Read what is there, unless enough was; whether there was anything, or the end."""
        if len(self._received) >= max(READ_AHEAD_BYTES, self._due_bytes()):
            return False
        try:
            piece = os.read(self.pipe.reading, PIPE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self._received += piece
        self.gone = not piece
        return True

    def _due_bytes(self) -> int:
        """How long the answer that is due is with its head, as far as that is known. What is none is not read on."""
        if self.garbled or len(self._received) < HEAD_BYTES:
            return HEAD_BYTES
        number, size = head_of(self._received)
        if number != self._due or not self._most:
            self.spoil("wrote into the channel to its worker")
        elif size > self._most[0]:
            self.spoil(f"gave an answer of {size:,} bytes where at most {self._most[0]:,} are taken")
        return HEAD_BYTES + size

    def _next_heard(self) -> bytes | None:
        """The answer that is due, once all of it was read."""
        end = self._due_bytes()
        if self.garbled or len(self._received) < end:
            return None
        with memoryview(self._received) as view:
            block = bytes(view[HEAD_BYTES:end])
        del self._received[:end]
        self._due += 1
        self._most.popleft()
        return block

    def _wait(self, seconds: float) -> None:
        """Until something can be read, or written if there is anything to write, or it is dead."""
        waiting = select.poll()
        waiting.register(self.pipe.reading, select.POLLIN)
        if self._unsent:
            waiting.register(self.pipe.writing, select.POLLOUT)
        if self.alive is not None:
            waiting.register(self.alive, select.POLLIN)
        ready = {descriptor for descriptor, _ in waiting.poll(seconds * 1000)}
        if self.alive in ready and self.pipe.reading not in ready and not self._read():
            self.gone = True
