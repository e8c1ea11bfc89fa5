"""One forked worker of the model process, seen from the parent."""

import contextlib
import queue
import secrets
import threading

from shadowbus.replay.pipe import Garbled, Pipe

THREAD_SECONDS = 1.0
"""How long to wait for a thread whose pipe is closed at the other end; a process that escaped may hold it open."""


class ModelWorker:
    """One forked worker: its pipe, and a thread for each direction, so that neither side ever waits to write."""

    def __init__(self, pipe: Pipe, pid: int) -> None:
        self.pipe, self.pid = pipe, pid
        self.gone = threading.Event()
        self.garbled = False
        self.answered = 0
        self.blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._first = secrets.randbits(63)
        self.threads = [
            threading.Thread(target=self._read, daemon=True, name="model-answers"),
            threading.Thread(target=self._write, daemon=True, name="model-questions"),
        ]
        for thread in self.threads:
            thread.start()

    def _read(self) -> None:
        due = self._first
        try:
            while (message := self.pipe.receive(due)) is not None:
                self.blocks.put(message[1])
                due += 1
        except Garbled:
            self.garbled = True
        self.gone.set()
        self.blocks.put(None)

    def _write(self) -> None:
        number = self._first
        with contextlib.suppress(OSError):  # a worker that is gone is noticed by the reader
            while (block := self.questions.get()) is not None:
                self.pipe.send(number, block)
                number += 1

    def ask(self, block: bytes) -> None:
        """Put a question on its way; never waits."""
        self.questions.put(block)

    def next_answer(self, seconds: float) -> bytes | None:
        """The next answer, or None when none comes in time or ever."""
        try:
            block = self.blocks.get(timeout=seconds) if seconds > 0 else self.blocks.get_nowait()
        except queue.Empty:
            return None
        self.answered += block is not None
        return block

    def close(self) -> None:
        """Let go of a worker that has been ended: its end of the pipe closed with it, which ends the threads."""
        self.questions.put(None)
        for thread in self.threads:
            thread.join(THREAD_SECONDS)
        if not any(thread.is_alive() for thread in self.threads):
            self.pipe.close()
