"""Every stage as a child process of one parent: started, started again when it ends, ended with the parent.

In: commands of the command line. Out: running processes, and everything they say, line by line, with their name.
Guaranteed: a child that ends is started again after a pause that doubles while it keeps failing; `stop` ends every
child in order (SIGTERM, a deadline, SIGKILL); and when this process dies, by `kill -9` too, so do its children.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shadowbus.clock import Deadline, monotonic
from shadowbus.processes.group import ProcessGroup
from shadowbus.processes.supervised import Backoff, Child

POLL_S = 0.1
STOP_S = 20.0

logger = logging.getLogger("shadowbus.processes.supervisor")


@dataclass(frozen=True, slots=True)
class Command:
    """One child: what it is called, and what follows `shadowbus --config FILE`."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildState:
    """How a child is right now; `pid` is that of its newest process."""

    name: str
    pid: int | None
    restarts: int
    alive: bool


class Supervisor:
    """Keeps one process alive for each command.

    Args:
        settings_path: The settings file that every child is given.
        commands: What to run; their names have to differ.
        say: Called with a child's name and one line that it said, from threads of the children's own.
        backoff: How long to wait before a child is started again.
        program: What the commands' arguments are given to, in place of this command line.
    """

    def __init__(
        self,
        settings_path: Path,
        commands: Sequence[Command],
        *,
        say: Callable[[str, str], None] | None = None,
        backoff: Backoff | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        if len({command.name for command in commands}) != len(commands):
            raise ValueError("two commands have the same name")
        self._program = tuple(program or (sys.executable, "-m", "shadowbus", "--config", str(settings_path)))
        self._commands = tuple(commands)
        self._say = say or _to_stderr
        self._backoff = backoff or Backoff()
        self._children: tuple[Child, ...] = ()
        self._stopping = threading.Event()
        self._watching: threading.Thread | None = None
        self._opened = contextlib.ExitStack()

    def start(self) -> Self:
        """Start every child, and from now on start those again that end.

        Raises:
            RuntimeError: It runs already.
        """
        if self._watching is not None:
            raise RuntimeError("this supervisor runs already: stop it first")
        self._stopping.clear()
        group = ProcessGroup()
        self._opened.callback(group.close)
        self._children = tuple(
            Child(command.name, (*self._program, *command.arguments), group, self._say, self._backoff)
            for command in self._commands
        )
        self._watching = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        try:
            for child in self._children:
                child.tend(monotonic())
            self._watching.start()
        except BaseException:
            self._watching = None
            self._opened.close()
            raise
        return self

    def stop(self, seconds: float = STOP_S) -> None:
        """End every child: ask all, wait for all, kill who is left. Stopping twice is fine.

        Args:
            seconds: How long the children may take as a whole to end by themselves.
        """
        if self._watching is None:
            return
        self._stopping.set()
        self._watching.join()
        self._watching = None
        deadline = Deadline.after(seconds)
        for child in self._children:
            child.ask_to_end()
        for child in self._children:
            child.wait(deadline)
        self._opened.close()
        for child in self._children:
            child.reap()

    def states(self) -> tuple[ChildState, ...]:
        """How every child is, in the order of the commands."""
        return tuple(ChildState(child.name, child.pid, child.restarts, child.alive) for child in self._children)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            for child in self._children:
                try:
                    child.tend(monotonic())
                except OSError as error:
                    logger.error("%s cannot be started: %s", child.name, error)


def _to_stderr(name: str, line: str) -> None:
    sys.stderr.write(f"{name} | {line}\n")
