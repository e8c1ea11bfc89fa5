"""Kill a group of processes when the process that started them is gone, however it went.

Run as a program, by path and with the standard library alone, as the leader of the group to watch::

    python -I -S watchdog.py PARENT_PID [FOLDER]

Standard input is a pipe whose other end only the parent holds and never writes to: the end of file means that the
parent has closed it or has died, by ``kill -9`` too. The parent's id is looked at as well, because a process that the
parent forked would hold the pipe open. Everything in the group is then killed and FOLDER, if given, is removed.

It is a process because nothing else holds on every system: ``PR_SET_PDEATHSIG`` exists on Linux alone and fires when
the *thread* that started the child ends; ``atexit`` and signal handlers do not run on ``kill -9``.
"""

import os
import select
import shutil
import signal
import sys
from pathlib import Path

PARENT_CHECK_S = 0.5
REMOVAL_PAUSE_S = 0.05
REMOVALS = 100


def main(parent: int, folder: str | None) -> None:
    """Wait for the parent to go, then end the group and remove the folder."""
    while os.getppid() == parent and not select.select([sys.stdin], [], [], PARENT_CHECK_S)[0]:
        pass
    group = os.getpgrp()
    if folder is not None:
        remover = os.fork()
        if remover == 0:
            os.setpgid(0, 0)
            remove(Path(folder))
            return
        os.setpgid(remover, remover)  # on both sides of the fork: it must be out of the group before the next line
    os.killpg(group, signal.SIGKILL)


def remove(folder: Path) -> None:
    """Remove the folder, once more for as long as what is dying still writes to it."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        select.select([], [], [], REMOVAL_PAUSE_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
