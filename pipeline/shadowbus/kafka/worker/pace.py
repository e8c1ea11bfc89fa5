"""How far a restore is: a line every few seconds, for whoever waits for it."""

import logging
from collections.abc import Mapping

from shadowbus.clock import monotonic
from shadowbus.stage import Input, RecordBatch

logger = logging.getLogger("shadowbus.worker")

SAY_S = 5.0


class Pace:
    """Counts what was restored.

    Args:
        name: Whose state it is.
    """

    def __init__(self, name: str) -> None:
        self.name, self.records, self.began = name, 0, monotonic()
        self.say_at = self.began + SAY_S
        self.starts: dict[Input, int] = {}
        self.ends: dict[Input, int] = {}
        self.at: dict[Input, int] = {}

    def expect(self, ranges: Mapping[Input, tuple[int, int]]) -> None:
        """These offsets have to be read, from the first to before the second."""
        for key, (start, end) in ranges.items():
            if start < end:
                self.starts[key], self.ends[key], self.at[key] = start, end, start

    def took(self, piece: RecordBatch) -> None:
        """These records were restored."""
        self.records += len(piece.offsets)
        self.at[piece.input] = piece.next_offset

    def say(self) -> None:
        """Log a line, if it is time for one."""
        now = monotonic()
        if now < self.say_at:
            return
        self.say_at = now + SAY_S
        logger.info(
            "%s restores its state: offset %d of %d, %d records so far, %.0f a second",
            self.name,
            sum(at - self.starts[key] for key, at in self.at.items()),
            sum(end - self.starts[key] for key, end in self.ends.items()),
            self.records,
            self.records / max(0.001, now - self.began),
        )

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return monotonic() - self.began
