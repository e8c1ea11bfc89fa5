"""One call in a thread of its own, so that the loop can read on while a transaction ends. Part of step 5."""

import threading
from collections.abc import Callable


class Aside:
    """A call that has begun; what it raises is raised where it is waited for.

    >>> Aside(lambda: None).wait()
    >>> Aside(lambda: 1 / 0).wait()
    Traceback (most recent call last):
    ...
    ZeroDivisionError: division by zero
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="aside")
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it has not come back yet."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Until it has come back."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._error = error
