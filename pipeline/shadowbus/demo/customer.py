"""The demo's customer: one digit after the other for the service to read, each call measured.

In: the service, and rows with their labels. Out: latencies as a caller feels them, and counts of what went wrong.
"""

import random
from collections import deque

import httpx

from shadowbus.clock import monotonic, perf_ns
from shadowbus.demo.digits import Rows
from shadowbus.demo.truth import Truth

DEVICES = ("phone", "tablet", "scanner")


class Customer:
    """Calls the service with one row after the other, and remembers how that went."""

    def __init__(self, production: httpx.AsyncClient, rows: Rows, truth: Truth, chance: random.Random) -> None:
        self._production = production
        self._rows = rows
        self._truth = truth
        self._chance = chance
        self._deck: list[int] = []
        self.calls = 0
        self.errors = 0
        self.trouble = ""
        self.latencies_ms: list[float] = []
        self.moments: deque[float] = deque(maxlen=10_000)

    def draw(self) -> tuple[str, dict[str, object], int]:
        """A new request: its id, its body, and the digit that was really written."""
        self.calls += 1
        if not self._deck:  # every digit once before any comes again
            self._deck = self._chance.sample(range(len(self._rows.labels)), len(self._rows.labels))
        at = self._deck.pop()
        request_id = f"{self._chance.getrandbits(64):016x}"
        segments = {"device": self._chance.choice(DEVICES)}
        features = self._rows.features[at]
        body: dict[str, object] = {"request_id": request_id, "features": features, "segments": segments}
        return request_id, body, self._rows.labels[at]

    async def call(self) -> None:
        """One call as it comes, measured."""
        request_id, body, label = self.draw()
        latency_ms = await self.ask(self._production, body)
        if latency_ms is not None:
            self.latencies_ms.append(latency_ms)
            self._truth.later(request_id, label)

    async def pair(self, twin: httpx.AsyncClient) -> tuple[float, float] | None:
        """The same call to production and to its twin, in random order; milliseconds of both, if both answered."""
        request_id, body, label = self.draw()
        both = [self._production, twin]
        order = self._chance.sample(both, 2)
        latencies = {id(client): await self.ask(client, body) for client in order}
        tapped, plain = (latencies[id(client)] for client in both)
        if tapped is not None:
            self._truth.later(request_id, label)
        return None if tapped is None or plain is None else (tapped, plain)

    async def ask(self, client: httpx.AsyncClient, body: dict[str, object]) -> float | None:
        """Milliseconds until the answer; None, and one more error, where there was none."""
        started = perf_ns()
        try:
            response = await client.post("/predict", json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            self.errors += 1
            self.trouble = f"{type(error).__name__}: {error}"
            return None
        finally:
            self.moments.append(monotonic())
        return (perf_ns() - started) / 1e6
