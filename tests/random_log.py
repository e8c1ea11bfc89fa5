"""Random comparisons, outcomes and vitals of three trials, as the topics would hold them.

Nothing in it is easy: weights, outcomes that are taken back, values of any size, a control, broken records, requests
that the model was trained on.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import RecordBatch

TRIAL, TWIN, OTHER = "live@1~new@2", "live@1~twin@1", "live@1~else@5"
SOURCES = (0, 1)
DOCUMENT: dict[str, Any] = {
    "namespace": "again",
    "partitions": len(SOURCES),
    "kafka": {"bootstrap.servers": "nowhere:1"},
    "gate": {
        "min_requests": 50,
        "max_error_rate": 0.9,
        "latency_budget_ms": 9.0,
        "max_over_budget": 0.9,
        "max_slowdown": 1.5,
        "min_agreement": 0.05,
        "accuracy_margin": 0.5,
    },
    "cost": [{"label": "yes", "prediction": "no", "cost": 7.3}, {"label": "no", "prediction": "yes", "cost": 0.1}],
    "shadow": [
        {"name": "new", "model": "new"},
        {"name": "else", "model": "else"},
        {"name": "twin", "model": "twin", "control": True},
    ],
}


def settings(**changes: Any) -> Settings:
    return parse_settings({**DOCUMENT, **changes}, Path("shadow.toml"), {})


SETTINGS = settings()
WITHOUT_GUARDS = settings(gate={**DOCUMENT["gate"], "guard_segments": False})


class Log:
    """What the topics hold: records of both inputs by source partition, random but for the seed."""

    def __init__(self, seed: int, count: int, values: int = 3, classes: int = 2) -> None:
        self.rng = random.Random(seed)
        self.values, self.classes = values, classes
        self.ids = Counter[tuple[str, str]]()
        self.topics: dict[tuple[str, int], list[bytes]] = {
            (topic, source): [self._record(topic) for _ in range(count)]
            for topic in ("comparisons", "outcomes")
            for source in SOURCES
        }
        for source in SOURCES:
            said = [one for one in self.topics["outcomes", source] if b"live_loss" in one]
            taken_back = [{**orjson.loads(one), "retracts": True} for one in self.rng.sample(said, count // 10)]
            self.topics["outcomes", source] += map(orjson.dumps, taken_back)
            for topic in ("comparisons", "outcomes"):
                self.topics[topic, source].append(self._record(topic, TRIAL))
            self.topics["vitals", source] = [self._vitals(source, number) for number in range(4)]

    def _record(self, topic: str, trial: str = "") -> bytes:
        rng = self.rng
        if rng.random() < 0.02 and not trial:
            return rng.choice((b"{", b'{"trial": 1}', b"null"))
        answers = [rng.choice(("yes", "no", *(f"c{n}" for n in range(self.classes - 2)))) for _ in range(3)]
        shared: dict[str, Any] = {
            "timestamp_ms": 1_700_000_000_000 + rng.randrange(10**6),
            "trial": trial or rng.choice((TRIAL, TRIAL, TWIN, OTHER)),
            "weight": rng.choice((1.0, 1.0, 1 / 0.3, 1 / 0.07)),
            "segments": {"country": f"c{rng.randrange(self.values)}", "new": rng.choice((True, False))},
            "agree": answers[1] == answers[2],
        }
        self.ids[topic, shared["trial"]] += 1  # the n-th of each trial is of the same request
        shared["request_id"] = f"r{self.ids[topic, shared['trial']]}"
        if shared["timestamp_ms"] % 10 < 2:
            shared["trained_on"] = True
        if topic == "comparisons":
            sides = [self._answer(answer) for answer in answers[1:]]
            both = {"live": sides[0], "shadow": sides[1], "status": "compared", "distance": rng.random()}
            return orjson.dumps({**shared, **both, "missing_features": rng.choice(([], ["age"]))})
        correct = {"live_correct": answers[0] == answers[1], "shadow_correct": answers[0] == answers[2]}
        losses = {"live_loss": rng.expovariate(1), "shadow_loss": rng.expovariate(1) * 10 ** rng.randint(-9, 9)}
        held = {"label": answers[0], "live": self._answer(answers[1]), "shadow": self._answer(answers[2])}
        return orjson.dumps({**shared, **correct, **losses, **held})

    def _answer(self, answer: str) -> dict[str, Any]:
        sure, latency = self.rng.random(), self.rng.random() * 12
        scores = {"yes": sure, "no": 1 - sure}
        told = {"latency_ms": latency, "error": None, "timed": ("model", "model", "call", None)[int(latency * 1e3) % 4]}
        return {"model": "m@1", "prediction": answer, "scores": scores, **told}

    def _vitals(self, source: int, number: int) -> bytes:
        page = {"read": number, "duplicates": 0, "dead_lettered": 0, "waiting": 0, "sampled_out": 0}
        books = {"requests": page, "predictions": page, "comparisons": {TRIAL: {"compared": number}}}
        model = {"name": "new@2", "sha256": "ab" * 32, "rows": 100, "cpu_s": 0.37 * number, "resident_bytes": 10**8}
        model |= {"trained_until_ms": 5 + number, "trained_until_from": "flag"}
        names = {"stage": "replay", "shadow": "new", "worker": f"w{source}", "partition": source, "timestamp_ms": 5}
        return orjson.dumps({**names, "books": books, "model": model, "lag": 0})

    def slice(self, topic: str, source: int, start: int, end: int) -> RecordBatch:
        values: list[bytes | None] = [*self.topics[topic, source][start:end]]
        offsets = [2 * number + 1 for number in range(start, start + len(values))]  # with gaps, as markers make them
        return RecordBatch(topic, source, [b"k"] * len(values), values, [0] * len(values), offsets)

    def between(self, topic: str, source: int, first: int, after: int) -> list[bytes]:
        """The values a reader of an offset range gets."""
        return [value for number, value in enumerate(self.topics[topic, source]) if first <= 2 * number + 1 < after]
