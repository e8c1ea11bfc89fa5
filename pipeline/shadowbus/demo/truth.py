"""What really happened, some seconds after the answer: the labels, sent by the process that knows them.

In: the id of an answered request and its label. Out: a record in the topic `labels`, when its time has come. The random
delay is the demo's, where production would wait for a payment, a click or a doctor.
"""

import asyncio
import heapq
import random

from shadowbus.capture import Tap
from shadowbus.clock import monotonic

DELAYS_S = (1.0, 6.0)
POLL_S = 0.05


class Truth:
    """Labels that will be known later.

    Args:
        tap: Where to send them.
        chance: Draws the delays.
    """

    def __init__(self, tap: Tap, chance: random.Random) -> None:
        self._tap = tap
        self._chance = chance
        self._due: list[tuple[float, str, int]] = []
        self._complete = False
        self.sent = 0

    @property
    def waiting(self) -> int:
        """Labels whose time has not come."""
        return len(self._due)

    def later(self, request_id: str, label: int) -> None:
        """Send this label in a few seconds."""
        heapq.heappush(self._due, (monotonic() + self._chance.uniform(*DELAYS_S), request_id, label))

    def complete(self) -> None:
        """No more labels will come."""
        self._complete = True

    async def deliver(self) -> None:
        """Send every label at its time, until all that will ever come are sent."""
        while self._due or not self._complete:
            while self._due and self._due[0][0] <= monotonic():
                _, request_id, label = heapq.heappop(self._due)
                self._tap.label(request_id, label)
                self.sent += 1
            await asyncio.sleep(POLL_S)
