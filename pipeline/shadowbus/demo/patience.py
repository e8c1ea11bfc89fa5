"""Waiting that always ends: when the thing is there, when the deadline has passed, or when Ctrl-C was pressed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from shadowbus.clock import Deadline
from shadowbus.errors import ShadowbusError

Result = TypeVar("Result")
POLL_S = 0.1


class Interrupted(BaseException):
    """Somebody wants it to end; not an Exception, so that nothing on the way takes it for a failure."""


class TooLateError(ShadowbusError):
    """Something did not happen in time; the message says what."""


class Patience:
    """Waits on conditions.

    Args:
        stop: Set when somebody wants it all to end.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition, looked at several times a second.

        Raises:
            Interrupted: The end was asked for.
            TooLateError: It did not come true in time.
        """
        deadline = Deadline.after(seconds)
        while not condition():
            if deadline.passed:
                raise TooLateError(f"Waited {seconds:.0f} s in vain for this: {what}.")
            self.pause(POLL_S)

    def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Interrupted: The end was asked for.
        """
        if self._stop.wait(seconds):
            raise Interrupted

    def beside(self, work: Callable[[], Result], name: str) -> "Future[Result]":
        """Begin work in a thread that nobody has to wait for."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name=name, daemon=True).start()
        return future

    def result(self, future: "Future[Result]", seconds: float, what: str) -> Result:
        """What that work came to.

        Raises:
            Interrupted: The end was asked for.
            TooLateError: It is not done in time.
        """
        self.until(future.done, seconds, what)
        return future.result()
