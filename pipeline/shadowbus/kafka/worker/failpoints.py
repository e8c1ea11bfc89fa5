"""Named points of the loop where a test makes a worker fail; in production each is an empty call, once a batch.

A test installs what happens there with `install`; `tests/failing_worker.py` does so in a real worker process, from the
environment, so that a real `kill -9` happens at an exact point.
"""

from collections.abc import Callable
from typing import Literal, get_args

Point = Literal["before-produce", "before-offsets", "before-commit", "after-commit", "during-restore", "during-revoke"]
"""In the order of the loop: before records go to the producer; before positions are sent to the transaction; between
that and the commit; after it, before the stage is told; while state is restored; between the stage's last outputs and
their commit, when partitions are revoked."""

POINTS: tuple[Point, ...] = get_args(Point)

Flush = Callable[[], object]
Hook = Callable[[Point, Flush | None], None]
"""Called at a point; where records are in flight, with what flushes them to Kafka."""

_hooks: list[Hook] = []


def install(hook: Hook) -> None:
    """Call `hook` at every point from now on. For tests only."""
    _hooks.append(hook)


def reached(point: Point, flush: Flush | None = None) -> None:
    """The loop has come to `point`."""
    for hook in _hooks:
        hook(point, flush)
