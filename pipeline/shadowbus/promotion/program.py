"""Runs somebody else's program under one deadline, and keeps the end of what it says.

It is over when the program itself has ended. What it started may hold its output open for as long as it likes, in
whatever session: what is in the pipe by then is read, and nobody waits for more.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from shadowbus.clock import Deadline

LOOK_S = 0.05
REAP_S = 5.0
LAST_BYTES = 65_536
PIPE_BYTES = 1 << 20
"""No pipe holds more unless root has made it larger."""


class TooLong(Exception):
    """The time was over, and the program was killed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, and the last `LAST_BYTES` of what it said on stdout and stderr."""

    code: int
    said: bytes


def run(
    arguments: Sequence[str], folder: Path | None, environment: Mapping[str, str], given: bytes, timeout_s: float
) -> Ended:
    """Run a program, without a shell.

    Args:
        arguments: The program and what it is given.
        folder: Where it runs; None for here.
        environment: What it finds beside what this process has.
        given: What it reads on its standard input.
        timeout_s: After how long it is killed, with its process group and its descendants.

    Raises:
        TooLong: It was.
        OSError: It cannot be started.
    """
    deadline = Deadline.after(timeout_s)
    with tempfile.TemporaryFile() as standard_input:  # a pipe would be written to for as long as nobody reads it
        standard_input.write(given)
        standard_input.seek(0)
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101  # as it was asked for
    with process.stdout as output:
        try:
            return Ended(_follow(process, output, said := bytearray(), deadline), bytes(said))
        except BaseException:
            _kill(process)
            raise


def _follow(process: "subprocess.Popen[bytes]", output: IO[bytes], said: bytearray, deadline: Deadline) -> int:
    """Read until the program has ended; its exit code."""
    os.set_blocking(output.fileno(), False)
    with selectors.DefaultSelector() as news:
        news.register(output, selectors.EVENT_READ)
        while process.poll() is None:
            if deadline.passed:
                raise TooLong
            pause = min(LOOK_S, deadline.remaining())
            if not news.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(pause)
            elif news.select(pause) and not _read(output, said):
                news.unregister(output)
    left = PIPE_BYTES
    while left > 0 and (size := _read(output, said)):
        left -= size
    return process.returncode


def _read(output: IO[bytes], said: bytearray) -> int:
    """Take what is there; how much it was."""
    try:
        piece = os.read(output.fileno(), LAST_BYTES)
    except BlockingIOError:
        return 0
    said += piece
    del said[:-LAST_BYTES]
    return len(piece)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return  # its number may be somebody else's by now
    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(process.pid).children(recursive=True):  # those that left the group
            with contextlib.suppress(psutil.Error):
                one.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(REAP_S)
