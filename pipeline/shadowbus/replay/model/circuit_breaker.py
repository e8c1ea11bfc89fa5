"""The circuit breaker of a model process: too many deaths, or too much waiting, and it is left alone for a while."""

from collections import deque

DEATHS = 100
WITHIN_SECONDS = 10.0

PATIENCE_SECONDS = 12.0
"""How long the worker may wait in vain at once, where nobody says otherwise. One load of the model takes less."""

REGAIN = 0.4
"""Seconds of patience that come back in a second: in the long run no more than about this share of time is lost."""

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
PROOF = 5
"""Chunks in a row that have to be answered before the pause starts short again."""


class CircuitBreaker:
    """Closed: the model is asked. Open: it is not, until the pause is over; then it is tried again.

    Args:
        patience: How many seconds may be lost at once.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._most = patience
        self._left, self._at = patience, 0.0
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._open_until = 0.0
        self._pause = FIRST_PAUSE
        self._good = 0
        self.opened = 0
        self.reason = ""

    def allows(self, now: float) -> bool:
        """Whether the model may be asked at this monotonic time (seconds)."""
        return now >= self._open_until

    def patience(self, now: float) -> float:
        """How many seconds may be lost now before the circuit opens."""
        return min(self._most, self._left + max(0.0, now - self._at) * REGAIN)

    def lost(self, seconds: float, now: float) -> None:
        """The worker has waited that long for nothing."""
        self._good = 0
        self._left, self._at = max(0.0, self.patience(now - seconds) - seconds), now
        if not self._left:
            self.open(f"kept the worker waiting for {self._most:g} s", now)

    def died(self, now: float) -> None:
        """The model's process came to an end that nobody asked for."""
        self._good = 0
        self._deaths.append(now)
        if len(self._deaths) == DEATHS and now - self._deaths[0] <= WITHIN_SECONDS:
            self.open(f"died {DEATHS} times within {WITHIN_SECONDS:g} s", now)

    def open(self, reason: str, now: float) -> None:
        """Leave the model alone for a while, longer each time."""
        self.opened += 1
        self._open_until = now + self._pause
        self.reason = f"the model {reason} and rests for {self._pause:g} s"
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._deaths.clear()

    def worked(self) -> None:
        """The model answered a whole chunk."""
        self._good += 1
        if self._good >= PROOF:
            self._pause = FIRST_PAUSE
