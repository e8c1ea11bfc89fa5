"""One forked worker of the model process, seen from the parent."""

import contextlib
import os
import queue
import signal
import threading

from shadowbus.replay.model_messages import Pipe


class ModelWorker:
    """One forked worker: its pipe, and a thread for each direction, so that neither side ever waits to write."""

    def __init__(self, pipe: Pipe, pid: int) -> None:
        self.pipe, self.pid = pipe, pid
        self.gone = threading.Event()
        self.blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.threads = [
            threading.Thread(target=self._read, daemon=True, name="model-answers"),
            threading.Thread(target=self._write, daemon=True, name="model-questions"),
        ]
        for thread in self.threads:
            thread.start()

    def _read(self) -> None:
        while (block := self.pipe.receive()) is not None:
            self.blocks.put(block)
        self.gone.set()
        self.blocks.put(None)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a worker that is gone is noticed by the reader
            while (block := self.questions.get()) is not None:
                self.pipe.send(block)

    def ask(self, block: bytes) -> None:
        """Put a question on its way; never waits."""
        self.questions.put(block)

    def next_answer(self, seconds: float) -> bytes | None:
        """The next answer, or None when none comes in time or ever."""
        try:
            return self.blocks.get(timeout=seconds) if seconds > 0 else self.blocks.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Kill the worker; its keeper reaps it. Its end of the pipe closes with it, which ends the threads."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.questions.put(None)
        for thread in self.threads:
            thread.join()
        self.pipe.close()
