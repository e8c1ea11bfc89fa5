"""Child processes that end when this one does, however it does.

A watchdog (see ``watchdog.py``) leads a process group of its own, and every child is born into that group. So a Ctrl-C
on the terminal reaches only this process, which then stops its children in order; and no moment exists in which a child
(or a child of its own) runs without somebody who would end it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shadowbus.processes import watchdog


class ProcessGroup:
    """A group of child processes, ended as a whole by ``close`` or by the death of this process.

    Args:
        remove: A folder that the watchdog removes if this process dies; ``close`` leaves it alone.
        keep_open: File descriptors that every process of the group inherits, so that a lock is held by all of them.
    """

    def __init__(self, remove: Path | None = None, keep_open: Sequence[int] = ()) -> None:
        self._keep_open = tuple(keep_open)
        self._closed = False
        self._watchdog = subprocess.Popen(
            # Isolated and without site: it starts in a few milliseconds and takes nothing from the environment.
            [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid()), *([str(remove)] if remove else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            pass_fds=self._keep_open,
        )

    def launch(
        self, command: Sequence[str], folder: Path | None = None, log: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program in the group.

        Args:
            command: The program and its arguments.
            folder: Where it runs; else where this process does.
            log: What all it says is appended to; else it can be read from the process's `stdout`.
        """
        with contextlib.ExitStack() as opened:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if log is None else opened.enter_context(log.open("ab")),
                stderr=subprocess.STDOUT,
                cwd=folder,
                process_group=self._watchdog.pid,
                pass_fds=self._keep_open,
            )

    def close(self) -> None:
        """Kill whatever is left in the group, the watchdog included. Closing twice is fine.

        The watchdog's id is the group's. It is reaped after the signal, and only here: until then nobody else can be
        given the id, even if the watchdog has long been dead. It is killed, as the end of its pipe would make it remove
        the folder too.
        """
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):  # a group of dead processes only
            os.killpg(self._watchdog.pid, signal.SIGKILL)
        self._watchdog.communicate()
