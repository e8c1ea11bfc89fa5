"""The traffic of a round, and what has to become of every record of it."""

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from traffic import Stream, prediction, request

LATE_S = 3.0
"""By how much some predictions come later than their request."""

BROKEN = b"{not a request"

LARGE = "large"
"""The shadow that answers with as many megabytes as the feature `deed` says, and like the others where that is 0."""

HUGE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "shadow's huge answer": ({"deed": 17}, {}, "compared"),
    "both answers huge": ({"deed": 9}, {"prediction": "x" * 9_000_000}, "live_error"),
    "huge live answer": ({}, {"prediction": "x" * 15_000_000}, "live_error"),
    "huge live error": ({}, {"error": "x" * 15_000_000}, "live_error"),
    "huge context": ({"context": {"page": "x" * 15_000_000}}, {}, "compared"),
    "long segment": ({"segments": {"country": "DE", "x" * 2_000: "y" * 2_000}}, {}, "compared"),
    "huge segments": ({"segments": {"x" * 9_000_000: "y"}}, {}, "request_missing"),
    "huge label": ({}, {}, "compared"),
    "huge id": ({}, {}, ""),
}
"""What is changed in a request and in its prediction, and the status of the comparison; empty where there is none."""


@dataclass
class Offered:
    """Requests, predictions and labels, sent at a pace; the kinds of traffic follow from the seed.

    Most requests have a prediction at once; some have it late, some never, some twice; some cannot be read; some have a
    label, some of these two. A few are huge, each in one way.

    Args:
        stream: Where to.
        seed: Which requests are special.
        count: How many requests.
        seconds: Over how long.
        huge: How often each huge kind comes.
    """

    stream: Stream
    seed: int
    count: int
    seconds: float
    huge: int = 1
    kinds: Counter[str] = field(default_factory=Counter)
    expected: dict[str, str] = field(default_factory=dict)  # the status of each request's comparison, by id
    waiting: Counter[str] = field(default_factory=Counter)  # halves that never meet, by topic
    labels: set[str] = field(default_factory=set)
    large: set[str] = field(default_factory=set)  # the ids to which the large shadow gives no answer that is kept
    refused: set[tuple[str, bytes]] = field(default_factory=set)  # topic and key of records that are set aside
    late: "deque[tuple[float, str]]" = field(default_factory=deque)
    sent: int = 0

    def __post_init__(self) -> None:
        self.plan = self._plan(random.Random(self.seed))

    def _plan(self, dice: random.Random) -> Iterator[tuple[str, str]]:
        kinds = ["plain", "late", "never", "request twice", "prediction twice", "broken", "labelled", "labelled twice"]
        weights = [0.60, 0.05, 0.002, 0.01, 0.01, 0.002, 0.32, 0.006]
        chosen = dice.choices(kinds, weights, k=self.count)
        rare = [kind for kind in HUGE for _ in range(self.huge)]
        for number, kind in zip(dice.sample(range(self.count), len(rare)), rare, strict=True):
            chosen[number] = kind
        for number, kind in enumerate(chosen):
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
        if kind in HUGE:
            self._send_huge(request_id, kind)
            return
        self.stream.send("requests", request_id, BROKEN if kind == "broken" else asked(request_id))
        if kind == "never":
            self.waiting["requests"] += 1
            return
        self.expected[request_id] = "request_missing" if kind == "broken" else "compared"
        if kind == "late":
            self.late.append((now + LATE_S, request_id))
            return
        self._predict(request_id)
        if kind == "request twice":
            self.stream.send("requests", request_id, asked(request_id))
        if kind == "prediction twice":
            self._predict(request_id)
        for _ in range({"labelled": 1, "labelled twice": 2}.get(kind, 0)):
            self._label(request_id, True)
            self.labels.add(request_id)

    def _send_huge(self, request_id: str, kind: str) -> None:
        changes, answer, status = HUGE[kind]
        if kind == "huge id":
            request_id += "x" * 100_000
        if status:
            self.expected[request_id] = status
        topics = {"huge id": ("requests", "predictions"), "huge segments": ("requests",), "huge label": ("labels",)}
        self.refused |= {(topic, request_id.encode()) for topic in topics.get(kind, ())}
        if "deed" in changes:
            self.large.add(request_id)
        self.stream.send("requests", request_id, asked(request_id, **changes))
        self._predict(request_id, **answer)
        if kind == "huge label":
            self._label(request_id, "x" * 15_000_000)

    def _label(self, request_id: str, label: object) -> None:
        record = {"v": 1, "request_id": request_id, "timestamp_ms": 1, "label": label}
        self.stream.send("labels", request_id, record)

    def _predict(self, request_id: str, **answer: object) -> None:
        self.stream.send("predictions", request_id, prediction(request_id, **answer))


def asked(request_id: str, deed: int = 0, **changes: object) -> dict[str, Any]:
    """A request with the feature `deed`; `changes` replace fields."""
    record = request(request_id, **changes)
    record["features"]["deed"] = deed
    return record
