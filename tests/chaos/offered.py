"""The traffic of a round, and what has to become of every record of it."""

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from traffic import Stream, prediction, request

LATE_S = 3.0
"""By how much some predictions come later than their request."""

BROKEN = b"{not a request"


@dataclass
class Offered:
    """Requests, predictions and labels, sent at a pace; the kinds of traffic follow from the seed.

    Most requests have a prediction at once; some have it late, some never, some twice; some cannot be read; some have a
    label, some of these two.

    Args:
        stream: Where to.
        seed: Which requests are special.
        count: How many requests.
        seconds: Over how long.
    """

    stream: Stream
    seed: int
    count: int
    seconds: float
    kinds: Counter[str] = field(default_factory=Counter)
    expected: dict[str, str] = field(default_factory=dict)  # the status of each request's comparison, by id
    waiting: Counter[str] = field(default_factory=Counter)  # halves that never meet, by topic
    labels: set[str] = field(default_factory=set)
    late: "deque[tuple[float, str]]" = field(default_factory=deque)
    sent: int = 0

    def __post_init__(self) -> None:
        self.plan = self._plan(random.Random(self.seed))

    def _plan(self, dice: random.Random) -> Iterator[tuple[str, str]]:
        kinds = ["plain", "late", "never", "request twice", "prediction twice", "broken", "labelled", "labelled twice"]
        weights = [0.60, 0.05, 0.002, 0.01, 0.01, 0.002, 0.32, 0.006]
        for number, kind in enumerate(dice.choices(kinds, weights, k=self.count)):
            yield f"request-{number:07d}", kind

    def keep_pace(self, now: float) -> None:
        """Send whatever is due.

        Args:
            now: Seconds since the beginning.
        """
        due = min(self.count, int(self.count * now / self.seconds))
        for request_id, kind in islice(self.plan, min(500, max(0, due - self.sent))):
            self._send(request_id, kind, now)
            self.sent += 1
        while self.late and self.late[0][0] <= now:
            self._predict(self.late.popleft()[1])
        self.stream.producer.poll(0)

    @property
    def over(self) -> bool:
        """Whether all is sent."""
        return self.sent == self.count and not self.late

    def _send(self, request_id: str, kind: str, now: float) -> None:
        self.kinds[kind] += 1
        self.stream.send("requests", request_id, BROKEN if kind == "broken" else request(request_id))
        if kind == "never":
            self.waiting["requests"] += 1
            return
        self.expected[request_id] = "request_missing" if kind == "broken" else "compared"
        if kind == "late":
            self.late.append((now + LATE_S, request_id))
            return
        self._predict(request_id)
        if kind == "request twice":
            self.stream.send("requests", request_id, request(request_id))
        if kind == "prediction twice":
            self._predict(request_id)
        for _ in range({"labelled": 1, "labelled twice": 2}.get(kind, 0)):
            self.stream.send("labels", request_id, {"v": 1, "request_id": request_id, "timestamp_ms": 1, "label": True})
            self.labels.add(request_id)

    def _predict(self, request_id: str) -> None:
        self.stream.send("predictions", request_id, prediction(request_id))
