"""Child processes that end when this one does, however it does.

A watchdog (see ``watchdog.py``) leads a process group of its own, and every child is born into that group. So a Ctrl-C
on the terminal reaches only this process, which then stops its children in order; and no moment exists in which a child
runs without somebody who would end it.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shadowbus.kafka import watchdog


class ProcessGroup:
    """A group of child processes, ended as a whole by ``close`` or by the death of this process.

    Args:
        remove: A folder that the watchdog removes if this process dies; ``close`` leaves it alone.
        keep_open: File descriptors that every process of the group inherits, so that a lock is held by all of them.
    """

    def __init__(self, remove: Path | None, keep_open: Sequence[int]) -> None:
        self._keep_open = tuple(keep_open)
        self._watchdog = subprocess.Popen(
            # Isolated and without site: it starts in a few milliseconds and takes nothing from the environment.
            [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid()), *([str(remove)] if remove else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            pass_fds=self._keep_open,
        )

    def launch(self, command: Sequence[str], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
        """Start a program in the group, in a folder, with all it says appended to a log."""
        with log.open("ab") as words:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                cwd=folder,
                process_group=self._watchdog.pid,
                pass_fds=self._keep_open,
            )

    def close(self) -> None:
        """End the watchdog; the caller has ended and reaped what it launched."""
        self._watchdog.kill()  # rather than by the pipe, which would also remove the folder
        self._watchdog.communicate()
