"""Where capture runs code of the service's: functions that pick, and objects that are asked for their plain values.

Whatever such code raises is a reason to leave something out and never an exception of the service's: a `__str__` that
raises SystemExit must not end the process, nor take the place of the exception it belongs to. Everywhere else capture
lets SystemExit, KeyboardInterrupt and their like pass, as they are the service's own.
"""

from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class NoAnswerError(Exception):
    """Code of the service's raised while capture asked it for something."""


def asked(function: Callable[..., Answer], *args: object, **kwargs: object) -> Answer:
    """What the function returns.

    Raises:
        NoAnswerError: It raised, whatever it was.
    """
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        raise NoAnswerError(type(error).__name__) from None
