"""Named places in the loop where a test makes a worker fail, once.

`SHADOWBUS_FAULT` names a point, and may add which time it is reached and what happens there:

    SHADOWBUS_FAULT=before-commit            crash, the first time
    SHADOWBUS_FAULT=before-commit:3:error    raise, the third time
    SHADOWBUS_FAULT_MARK=FILE                made when it fires; while it is there, nothing counts and nothing fires

A crash is `kill -9` by the worker's own hand: nothing is flushed, closed or said. An error is a `Retry`, what Kafka's
passing failures become. Without `SHADOWBUS_FAULT`, reaching a point is an empty call, once a batch or commit.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from shadowbus.errors import Retry, SettingsError

POINTS = (
    "before-produce",
    "before-offsets",
    "before-commit",
    "after-commit",
    "during-restore",
    "during-revoke",
)
"""In the order of the loop: before records are handed to the producer; before positions are sent to the transaction;
between that and the commit; after it, before the stage is told; while kept state is read back; between the stage's
last outputs and their commit, when partitions are taken away."""

HOWS = ("crash", "error")

Reached = Callable[..., None]
"""Called with a point, and where records are under way, with what brings them to Kafka first: `Fault`, or nothing."""


class Fault:
    """Fails at one point, once.

    Args:
        point: One of `POINTS`.
        time: The how-manieth time it is reached, from 1.
        how: One of `HOWS`.
        mark: A file that is made when it fires, and keeps it from firing again, in this process and any other. One
            that is there from the start holds the fault back until it is removed.

    Raises:
        SettingsError: There is no such point, time or way to fail.

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
            raise SettingsError(
                f"SHADOWBUS_FAULT is POINT[:TIME[:HOW]], with one of {', '.join(POINTS)}, a number from 1, "
                f"and one of {', '.join(HOWS)}; not {point}:{time}:{how}."
            )
        self.point, self.left, self.how, self.mark = point, time, how, mark

    def __call__(self, point: str, flush: Callable[[], object] | None = None) -> None:
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


def fault_of(environment: Mapping[str, str]) -> Reached:
    """What to call at each point.

    Raises:
        SettingsError: `SHADOWBUS_FAULT` is not understood.

    >>> fault_of({})("before-commit")
    >>> fault_of({"SHADOWBUS_FAULT": "before-commit:3"}).left
    3
    >>> fault_of({"SHADOWBUS_FAULT": "lunch"})
    Traceback (most recent call last):
    ...
    shadowbus.errors.SettingsError: SHADOWBUS_FAULT is POINT[:TIME[:HOW]], ...
    """
    text = environment.get("SHADOWBUS_FAULT", "")
    if not text:
        return _nothing
    point, _, rest = text.partition(":")
    time, _, how = rest.partition(":")
    mark = environment.get("SHADOWBUS_FAULT_MARK")
    return Fault(
        point, int(time) if time.isdecimal() else 0 if time else 1, how or "crash", Path(mark) if mark else None
    )


def _nothing(point: str, flush: Callable[[], object] | None = None) -> None:
    """No fault is wanted."""
