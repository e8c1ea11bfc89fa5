"""Does something in a fork of this process, so that of what it leaves behind nothing is left here.

The keeper must never predict: the threads that a numerical library starts for it would be missing in each worker that
is forked later, and the worker would wait for them for ever.
"""

import os
import traceback
from collections.abc import Callable

from shadowbus.errors import BundleError, ShadowbusError
from shadowbus.replay.model_limits import end_with_parent

MOST_BYTES = 65_536
"""Of the text of an error; so much fits into a pipe whoever reads it when."""


def do_apart(work: Callable[[], None], what: str) -> None:
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
