"""A quicker way to the same answers, which may be closed to a model for good without anybody's fault.

Taken while it works. When it has failed several times in a row it is given up, with its reason, and tried again rarely.
"""

from dataclasses import dataclass

FAILURES = 3
"""In a row, each with every row answered on the longer way: so the way was at fault, and no row."""

REST_SECONDS = 60.0
"""How long a way that was given up is not tried."""


@dataclass(slots=True)
class Shortcut:
    """Whether a way is worth trying. `reason` says why it is given up, and is empty while it is not."""

    reason: str = ""
    _failures: int = 0
    _again_at: float = 0.0

    def open(self, now: float) -> bool:
        """Whether to take it at this monotonic time (seconds)."""
        return now >= self._again_at

    def worked(self) -> None:
        """It led to answers."""
        self.reason, self._failures, self._again_at = "", 0, 0.0

    def failed(self, why: str, now: float) -> None:
        """It led nowhere, and the longer way did."""
        self._failures += 1
        if self._failures >= FAILURES:
            self.reason, self._again_at = why, now + REST_SECONDS
