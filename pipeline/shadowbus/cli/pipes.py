"""Whoever reads what we write may have seen enough (`| head`): that is no error, for no verb.

From then on nothing is written any more, and the verb goes on to its exit code; one that has no end of its own asks
`nobody_reads`.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO


class _Pipe(io.FileIO):
    """A stream of bytes that takes what nobody reads any more, and drops it."""

    left = False

    def write(self, data: object) -> int:
        """Write, as long as somebody reads."""
        taken: int = len(memoryview(data))  # type: ignore[arg-type]
        if not self.left:
            try:
                return super().write(data) or 0  # type: ignore[arg-type]
            except BrokenPipeError:
                self.left = True
        return taken


@contextlib.contextmanager
def readers_may_leave() -> Iterator[None]:
    """Inside the block nobody is told that stdout or stderr is read no more."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def nobody_reads() -> bool:
    """Whether what is written to stdout is dropped by now."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Pipe) and raw.left


def _patient(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError):  # of a test or a notebook: nothing that could be left
        return stream
    raw = io.BufferedWriter(_Pipe(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.isatty() or stream is sys.stderr)
