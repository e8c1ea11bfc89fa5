"""What a model's process says on standard error: the last of it, for the one who has to find out why it died.

However much is said, it is taken at once and all but the end is dropped: nothing fills up and nobody has to wait.
"""

import contextlib
import os
import re
import select
import threading

KEPT_BYTES = 16_384
"""A fatal error lists every extension module there is, after what one wants to know."""
READ_BYTES = 65_536
CHECK_SECONDS = 0.5

_FATAL = re.compile(r"Fatal Python error: .*", re.DOTALL)
_NOISE = re.compile(r"(Current t|T)hread 0x[0-9a-f]+ \[?.*?\(most recent call first\):|Extension modules: .*")


class StderrTail:
    """Listens to a descriptor until it is closed at the other end, or `close` is called."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._kept, self._closed = descriptor, b"", False
        self._lock = threading.Lock()
        os.set_blocking(descriptor, False)
        threading.Thread(target=self._listen, daemon=True, name="model-last-words").start()

    def take(self) -> str:
        """What was said last, and forget it."""
        with self._lock:
            if not self._closed:
                self._read_all()
            said, self._kept = self._kept, b""
        return said.decode(errors="replace")

    def close(self) -> None:
        """Stop listening, soon."""
        with self._lock:
            self._closed = True

    def _listen(self) -> None:
        open_ = True
        while open_ and not self._closed:
            if select.select([self._descriptor], [], [], CHECK_SECONDS)[0]:
                with self._lock:
                    open_ = self._read()
        with self._lock:
            self._closed = True
            os.close(self._descriptor)

    def _read_all(self) -> None:
        for _ in range(64):  # what a pipe holds at most; one that is being filled again is not read for ever
            if not select.select([self._descriptor], [], [], 0)[0] or not self._read():
                return

    def _read(self) -> bool:
        """Take what is there; whether more may come."""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._descriptor, READ_BYTES)
            self._kept = (self._kept + said)[-KEPT_BYTES:]
            return bool(said)
        return True


def in_one_line(words: str) -> str:
    """What is worth repeating of somebody's standard error: a fatal error with where it was, or else the last lines.

    >>> print(in_one_line("Fatal Python error: Aborted" + chr(10) + "Thread 0x1a (most recent call first): File x"))
    Fatal Python error: Aborted File x
    """
    fatal = _FATAL.search(words)
    lines = fatal[0].splitlines()[:12] if fatal else words.splitlines()[-3:]
    return " ".join(_NOISE.sub("", " ".join(lines)).split())
