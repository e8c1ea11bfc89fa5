"""The circuit breaker of a model process: too many deaths, and it is left alone for a while."""

from collections import deque

DEATHS = 20
WITHIN_SECONDS = 10.0
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
PROOF = 5
"""Chunks in a row that have to be answered before the pause starts short again."""


class Circuit:
    """Closed: the model is asked. Open: it is not, until the pause is over; then it is tried again."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._open_until = 0.0
        self._pause = FIRST_PAUSE
        self._good = 0
        self.reason = ""

    def allows(self, now: float) -> bool:
        """Whether the model may be asked at this monotonic time (seconds)."""
        return now >= self._open_until

    def died(self, now: float) -> None:
        """The model's process came to an end that nobody asked for."""
        self._good = 0
        self._deaths.append(now)
        if len(self._deaths) == DEATHS and now - self._deaths[0] <= WITHIN_SECONDS:
            self._open_until = now + self._pause
            self.reason = f"the model died {DEATHS} times within {WITHIN_SECONDS:g} s and rests for {self._pause:g} s"
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._deaths.clear()

    def worked(self) -> None:
        """The model answered a whole chunk."""
        self._good += 1
        if self._good >= PROOF:
            self._pause = FIRST_PAUSE
