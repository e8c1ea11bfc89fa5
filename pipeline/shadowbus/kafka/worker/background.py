"""A call in a background thread, so that the loop can go on meanwhile: a restore (step 1) and a commit (step 5)."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A call that has begun; `wait` returns or raises what it did.

    It is no `Future` of an executor for two reasons: the thread is a daemon, so a call into librdkafka that hangs does
    not keep the process from ending; and a failure keeps none of the clients alive that its frames refer to.

    >>> Background(lambda: 7).wait()
    7
    >>> Background(lambda: 1 / 0).wait()
    Traceback (most recent call last):
    ...
    ZeroDivisionError: division by zero
    """

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="background")
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether the call has not returned yet."""
        return self._thread.is_alive()

    def wait(self) -> Result:
        """Block until the call has returned; return its result or raise its error."""
        self._thread.join()
        if self._error is None:
            return self._results[0]
        # Kept in this object or this frame, the error would be part of a reference cycle, together with the clients of
        # every frame in its traceback; the cycle collector, which runs seldom here, would free them late or never.
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._error = error
