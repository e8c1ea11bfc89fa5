"""How often a worker starts again by itself, how long it rests before, and when it gives up.

In: how each membership ended, and whether it got anywhere. Out: a pause, or an error that ends the worker. Guaranteed:
what would fail for ever does not look healthy, and while Kafka is away a worker waits for as long as that takes.
"""

import logging
from collections.abc import Callable

from shadowbus.clock import monotonic
from shadowbus.errors import Away, BrokerError, Retry
from shadowbus.retries import pause_s

logger = logging.getLogger("shadowbus.worker")

FIRST_S, MOST_S = 0.2, 5.0
AWAY_MOST_S = 1.0
"""The longest pause while Kafka is away: when it is there again, what waited is to be current within seconds."""

SAY_AGAIN_S = 30.0

STEADY_SECONDS = 60.0
"""What worked for so long got somewhere, even where nothing came to be committed."""


class Restarts:
    """The restarts of one worker.

    Args:
        name: What the worker is called.
        most: After so many in a row that led to nothing it gives up.
        answers: Asks whether Kafka answers at all; called before a restart counts.
    """

    def __init__(self, name: str, most: int, answers: Callable[[], bool]) -> None:
        self.name, self.most, self.answers = name, most, answers
        self.tries = self.fruitless = 0
        self.away_since: float | None = None
        self.say_at = 0.0

    def pause_s(self, error: Retry, *, progressed: bool) -> float:
        """A membership has ended with this error; how long to wait before the next.

        Args:
            error: Why it ended.
            progressed: Whether it committed anything new, or had nothing to do for a good while.

        Raises:
            BrokerError: It has started again too often without getting anywhere.
        """
        if progressed:
            self.tries = self.fruitless = 0
        self.tries += 1
        if isinstance(error, Away) or not self.answers():
            self._say_away(error)
            return pause_s(self.tries, FIRST_S, AWAY_MOST_S)
        self._count(error, progressed=progressed)
        return pause_s(self.tries, FIRST_S, MOST_S)

    def _say_away(self, error: Retry) -> None:
        now = monotonic()
        if self.tries == 1 or self.away_since is None:
            self.away_since, self.say_at = now, now + SAY_AGAIN_S
            logger.warning("%s starts again from what is committed, when Kafka is there: %s", self.name, error)
        elif now >= self.say_at:
            self.say_at = now + SAY_AGAIN_S
            logger.warning("%s has waited for Kafka for %.0f s: %s", self.name, now - self.away_since, error)

    def _count(self, error: Retry, *, progressed: bool) -> None:
        self.away_since = None
        self.fruitless += not progressed
        if self.fruitless > self.most:
            raise BrokerError(
                f"{self.name} has started again {self.most} times and committed nothing in between: {error} "
                "Nothing is lost. Mend the reason, then start it again."
            ) from error
        logger.warning("%s starts again from what is committed: %s", self.name, error)
