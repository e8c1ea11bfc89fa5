"""One call in a thread of its own, so that the loop can go on meanwhile. Part of steps 1 and 5."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Aside(Generic[Result]):
    """A call that has begun; what it returns or raises comes out where it is waited for.

    >>> Aside(lambda: 7).wait()
    7
    >>> Aside(lambda: 1 / 0).wait()
    Traceback (most recent call last):
    ...
    ZeroDivisionError: division by zero
    """

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="aside")
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it has not come back yet."""
        return self._thread.is_alive()

    def wait(self) -> Result:
        """Until it has come back."""
        self._thread.join()
        if self._error is None:
            return self._results[0]
        # Kept here or in this frame it would hold itself, and the clients of every frame it came through with it: the
        # collector of cycles, which is told to look seldom, would let go of none of them.
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
