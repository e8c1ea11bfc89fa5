"""Runs the `shadowbus` command line in a process that fails at a point of the loop, once.

`SHADOWBUS_FAULT` names a point, and may add which time it is reached and what happens there:

    SHADOWBUS_FAULT=before-commit            crash, the first time
    SHADOWBUS_FAULT=before-commit:3:error    raise, the third time
    SHADOWBUS_FAULT_MARK=FILE                made when it fires; while it is there, nothing counts and nothing fires

A crash is a real `kill -9` by the worker's own hand: nothing is flushed, closed or logged. An error is a `Retry`, as
for Kafka's passing failures. `traffic.Stream.start` runs this in place of `python -m shadowbus` where the variable is
set.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from shadowbus.cli import main
from shadowbus.errors import Retry
from shadowbus.kafka.worker.failpoints import POINTS, Flush, Point, install

HOWS = ("crash", "error")


class Fault:
    """Fails at one point, once.

    Args:
        point: One of `POINTS`.
        time: Which time it is reached, from 1.
        how: One of `HOWS`.
        mark: A file that is made when it fires, and keeps it from firing again, in this process and any other. One
            that exists from the start holds the fault back until it is removed.

    Raises:
        ValueError: There is no such point, time or way to fail.

    >>> fault = Fault("after-commit", 2, "error", None)
    >>> fault("after-commit"), fault("before-commit")
    (None, None)
    >>> fault("after-commit")
    Traceback (most recent call last):
    ...
    shadowbus.errors.Retry: the fault point after-commit was reached
    >>> fault("after-commit")
    """

    def __init__(self, point: str, time: int, how: str, mark: Path | None) -> None:
        if point not in POINTS or how not in HOWS or time < 1:
            raise ValueError(f"there is no fault {point}:{time}:{how}")
        self.point, self.left, self.how, self.mark = point, time, how, mark

    def __call__(self, point: Point, flush: Flush | None = None) -> None:
        """The loop has come to `point`; `flush` is called first if it fails there."""
        if point != self.point or (self.mark is not None and self.mark.exists()):
            return
        self.left -= 1
        if self.left or not self._first():
            return
        if flush is not None:
            flush()
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        raise Retry(f"the fault point {point} was reached")

    def _first(self) -> bool:
        if self.mark is None:
            return True
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def fault_of(environment: Mapping[str, str]) -> Fault:
    """The fault that these variables name.

    >>> fault_of({"SHADOWBUS_FAULT": "before-commit:3"}).left
    3
    >>> fault_of({"SHADOWBUS_FAULT": "lunch"})
    Traceback (most recent call last):
    ...
    ValueError: there is no fault lunch:1:crash
    """
    point, _, rest = environment["SHADOWBUS_FAULT"].partition(":")
    time, _, how = rest.partition(":")
    mark = environment.get("SHADOWBUS_FAULT_MARK")
    return Fault(point, int(time or 1), how or "crash", Path(mark) if mark else None)


if __name__ == "__main__":
    install(fault_of(os.environ))
    raise SystemExit(main())
