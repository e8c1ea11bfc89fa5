"""One forked worker of the model process, seen from the parent."""

import contextlib
import os
import queue
import signal
import threading

from shadowbus.replay.model_messages import Pipe


class ModelWorker:
    """One forked worker: its pipe, and a thread that reads its answers so that neither side blocks the other."""

    def __init__(self, pipe: Pipe, pid: int) -> None:
        self.pipe, self.pid = pipe, pid
        self.gone = threading.Event()
        self.blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True, name="model-answers")
        self.reader.start()

    def _read(self) -> None:
        while (block := self.pipe.receive()) is not None:
            self.blocks.put(block)
        self.gone.set()
        self.blocks.put(None)

    def ask(self, block: bytes, timeout: float) -> None:
        """Send a question. A worker that does not even read it is as good as gone."""
        try:
            self.pipe.send(block, timeout)
        except OSError:
            self.blocks.put(None)

    def next_answer(self, seconds: float) -> bytes | None:
        """The next answer, or None when none comes in time or ever."""
        try:
            return self.blocks.get(timeout=seconds) if seconds > 0 else self.blocks.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Kill the worker; its keeper reaps it. Its end of the pipe closes with it, which ends the reader."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.reader.join()
        self.pipe.close()
