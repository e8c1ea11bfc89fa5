"""The processes of a model: whether one is dead, how many there are, and how to end them all and nobody else.

A number belongs to a process until it is reaped, and may be anybody's afterwards. So nobody here is killed by number
alone, unless this process is the one that reaps it.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Container
from pathlib import Path

import psutil

from shadowbus.errors import BundleError, ShadowbusError
from shadowbus.replay.model.child.limits import end_with_parent

MOST_TASKS = 256
"""The most processes and threads that a model may have started, in all."""


def too_many_tasks(root: int, besides: Container[int] = ()) -> bool:
    """Whether the processes below one, but for some, and their threads are more than a model may have started."""
    found, below = 0, [root]
    while below and found <= MOST_TASKS:
        pid = below.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += 1
                children = map(int, (task / "children").read_text().split())
                below += [child for child in children if child not in besides]
    return found > MOST_TASKS


def is_dead(child: int) -> bool:
    """Whether a child of this process has ended. It is not reaped by this, so its number stays its own."""
    try:
        return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_session(session: int) -> None:
    """Kill every process of a session whose leader is not reaped yet; nobody else's number is taken for one's."""
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session:
                _kill_while(pid, session)


def _kill_while(pid: int, session: int) -> None:
    if sys.platform != "linux":
        os.kill(pid, signal.SIGKILL)
        return
    held = os.pidfd_open(pid)
    try:
        if os.getsid(pid) == session:  # still, or else what is held is dead already
            signal.pidfd_send_signal(held, signal.SIGKILL)
    finally:
        os.close(held)


def reached_out(process: int) -> int:
    """How many times something was sent that no route leads to, in the network of a process; 0 where nobody counts."""
    try:
        lines = Path(f"/proc/{process}/net/snmp").read_text().splitlines()
    except OSError:
        return 0
    names, values = (line.split()[1:] for line in lines if line.startswith("Ip:"))
    return int(dict(zip(names, values, strict=True)).get("OutNoRoutes", 0))


MOST_BYTES = 65_536
"""The most bytes of an error text: they fit into a pipe, whenever they are read."""


def run_in_fork(work: Callable[[], None], what: str) -> None:
    """Do some work in a fork, and wait for it.

    Args:
        work: What to do; it returns nothing.
        what: What it is called, for the error if the fork does not live to say more.

    Raises:
        BundleError: The work raised, with the same words, or brought its process down.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        end_with_parent(parent)
        os.write(writing, _result(work))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read(MOST_BYTES)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said != _DONE:
        raise BundleError(said.decode(errors="replace") or f"{what}: its process ended with {code}.")


_DONE = b"\0"


def _result(work: Callable[[], None]) -> bytes:
    try:
        work()
    except ShadowbusError as error:
        return str(error).encode(errors="replace")[:MOST_BYTES]
    except BaseException as error:
        return "".join(traceback.format_exception_only(error)).strip().encode(errors="replace")[:MOST_BYTES]
    return _DONE
