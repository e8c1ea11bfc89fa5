"""Kill a group of processes when the process that started them is gone, however it went.

Run as a program, by path and with the standard library alone, as the leader of the group to watch::

    python -I -S watchdog.py PARENT_PID [FOLDER]

Standard input is a pipe whose other end only the parent holds and never writes to: the end of file means that the
parent has closed it or has died, by ``kill -9`` too. The parent's id is looked at as well, because a process that the
parent forked would hold the pipe open. Everything in the group is then killed and FOLDER, if given, is removed.

It is a process because nothing else holds on every system: ``PR_SET_PDEATHSIG`` exists on Linux alone and fires when
the *thread* that started the child ends; ``atexit`` and signal handlers do not run on ``kill -9``.
"""

import contextlib
import os
import select
import shutil
import signal
import sys

PARENT_CHECK_S = 0.5
GROUP_CHECK_S = 0.02
GROUP_CHECKS = 500


def main(parent: int, folder: str | None) -> None:
    """Wait for the parent to go, then end the group and remove the folder."""
    while os.getppid() == parent and not select.select([sys.stdin], [], [], PARENT_CHECK_S)[0]:
        pass
    group = os.getpgrp()
    if folder is not None and os.fork() == 0:
        os.setpgid(0, 0)  # out of the group, so as to outlive it
        remove_after(group, folder)
        return
    os.killpg(group, signal.SIGKILL)


def remove_after(group: int, folder: str) -> None:
    """Remove the folder once nothing that writes to it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for _ in range(GROUP_CHECKS):
            os.killpg(group, signal.SIGKILL)
            select.select([], [], [], GROUP_CHECK_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
