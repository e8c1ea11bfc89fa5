"""Four made-up trials of digits, like the demo's: comparisons, outcomes and vitals, folded by the real stages.

What comes out are the very records that the topics aggregates, verdicts and comparisons would hold.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from downstream import Downstream, Publication
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import RecordBatch

START_MS = 1_760_000_000_000
LIVE = "champion@1"
CLASSES = tuple(str(number) for number in range(10))
SETTINGS: dict[str, Any] = {
    "namespace": "digits",
    "partitions": 1,
    "kafka": {"bootstrap.servers": "localhost:9092"},
    "gate": {
        "min_requests": 300,
        "max_error_rate": 0.003,
        "latency_budget_ms": 100.0,
        "max_over_budget": 0.05,
        "accuracy_margin": 0.02,
    },
    "aggregate": {"window_seconds": 5},
    "shadow": [
        {"name": name, "model": name, "control": name == "control"}
        for name in ("better", "worse", "crasher", "control")
    ],
}


@dataclass(frozen=True)
class Character:
    """How a shadow behaves: how often it is right, fails, and how long it takes."""

    accuracy: float
    failing: float = 0.0
    latency_ms: float = 1.2
    copies: bool = False


CAST = {
    "better": Character(0.97),
    "worse": Character(0.80, latency_ms=0.6),
    "crasher": Character(0.93, failing=0.012),
    "control": Character(0.93, copies=True),
}


def settings(**changes: object) -> Settings:
    """Those of the staged namespace; `changes` replace tables."""
    return parse_settings({**SETTINGS, **changes}, Path("shadow.toml"), {})


@dataclass
class Staged:
    """The trials as far as they have come. `play` adds requests; what is published from them is returned."""

    settings: Settings
    cast: dict[str, Character] = field(default_factory=lambda: dict(CAST))
    live: str = LIVE
    seed: int = 5
    step_ms: int = 20
    start_ms: int = START_MS
    segments: tuple[str, ...] = ("weekday", "weekend")
    classes: tuple[str, ...] = CLASSES
    death: str = "the model process died"
    comparisons: list[bytes] = field(default_factory=list)
    outcomes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.stage = AggregateStage(frozenset({0}), self.settings)
        self.partials: dict[bytes | None, bytes | None] = {}
        self.downstream = Downstream(self.settings)
        self.count = 0
        self.offsets = {"comparisons": 0, "outcomes": 0, "vitals": 0}
        self.statuses: dict[str, dict[str, int]] = {name: {} for name in self.cast}

    def trial(self, shadow: str) -> str:
        return f"{self.live}~{shadow}@1"

    def play(self, requests: int, labelled: float = 1.0) -> list[Publication]:
        """So many more requests for every shadow, with their labels, and the vitals after them."""
        compared: list[bytes] = []
        outcomes: list[bytes] = []
        for _ in range(requests):
            self._request(compared, outcomes, labelled)
        now_ms = self.now_ms
        self.comparisons += compared
        self.outcomes += outcomes
        self._take("comparisons", compared, now_ms)
        self._take("outcomes", outcomes, now_ms)
        self._take("vitals", [orjson.dumps(self._vitals(name, now_ms)) for name in self.cast], now_ms)
        outputs = self.stage.checkpoint(now_ms)
        for _partition, key, value in outputs.records.get("partials", []):
            self.downstream.take(key, value)
            self.partials[key] = value
        return self.downstream.publish()

    def restart(self, settings: Settings | None = None) -> None:
        """The stage goes on from what it has published, as after a crash; perhaps with other settings."""
        self.settings = settings or self.settings
        self.stage = AggregateStage(frozenset({0}), self.settings, since_ms=self.now_ms)
        none = [0] * len(self.partials)
        self.stage.restore(RecordBatch("partials", 0, [*self.partials], [*self.partials.values()], none, none))
        self.stage.resume_at({(topic, 0): offset for topic, offset in self.offsets.items()})

    @property
    def now_ms(self) -> int:
        return self.start_ms + self.count * self.step_ms

    def _request(self, compared: list[bytes], outcomes: list[bytes], labelled: float) -> None:
        truth = int(self.rng.integers(len(self.classes)))
        said = truth if self.rng.random() < 0.93 else int(self.rng.integers(len(self.classes)))
        day = self.segments[int(self.rng.random() < 0.3)]
        latency = float(self.rng.gamma(4.0, 0.5))
        wanted = self.rng.random() < labelled
        number, self.count = self.count, self.count + 1
        for shadow, plays in self.cast.items():
            right = self.rng.random() < plays.accuracy - (0.12 if plays.accuracy < 0.85 and day != "weekday" else 0)
            answer = said if plays.copies else truth if right else int(self.rng.integers(len(self.classes)))
            fails = self.rng.random() < plays.failing
            record: dict[str, Any] = {
                "v": 1,
                "request_id": f"r{number:06d}",
                "timestamp_ms": self.start_ms + number * self.step_ms,
                "trial": self.trial(shadow),
                "status": "compared",
                "live": _answer(self.live, self.classes[said], latency),
                "shadow": _answer(
                    f"{shadow}@1", self.classes[answer], float(self.rng.gamma(4.0, plays.latency_ms / 4))
                ),
                "agree": said == answer,
                "distance": float(said != answer),
                "weight": 1.0,
                "segments": {"day": day},
                "missing_features": [],
                "features": {"pixel_12": round(float(self.rng.random()), 3), "pixel_36": truth},
            }
            if fails:
                kind = "shadow_crash" if self.rng.random() < 0.5 else "shadow_timeout"
                gone = _answer(f"{shadow}@1", None, None, self.death)
                record |= {"status": kind, "shadow": gone, "agree": None, "distance": None}
            self.statuses[shadow][record["status"]] = self.statuses[shadow].get(record["status"], 0) + 1
            compared.append(orjson.dumps(record))
            if wanted and not fails:
                outcomes.append(orjson.dumps(_outcome(record, self.classes, truth, said, answer)))

    def _vitals(self, shadow: str, now_ms: int) -> dict[str, Any]:
        side = {"read": self.count, "duplicates": 0, "dead_lettered": 0, "waiting": 0, "sampled_out": 0}
        return {
            "v": 1,
            "stage": "replay",
            "shadow": shadow,
            "worker": f"{shadow}-0",
            "partition": 0,
            "timestamp_ms": now_ms,
            "books": {
                "requests": side,
                "predictions": side,
                "comparisons": {self.trial(shadow): dict(self.statuses[shadow])},
            },
            "model": {
                "rows": self.count,
                "cpu_s": self.count * 0.0004,
                "batch_ms_per_row": 0.05,
                "resident_bytes": 148_000_000,
                "restarts": self.statuses[shadow].get("shadow_crash", 0),
                "deaths": {"exit": self.statuses[shadow].get("shadow_crash", 0)},
                "loads": 1,
                "circuit": "closed",
            },
            "lag": 0,
        }

    def _take(self, topic: str, values: list[bytes], now_ms: int) -> None:
        first = self.offsets[topic]
        numbers = list(range(first, first + len(values)))
        self.offsets[topic] += len(values)
        keys: list[bytes | None] = [b"k"] * len(values)
        if values:
            self.stage.process([RecordBatch(topic, 0, keys, list(values), [now_ms] * len(values), numbers)], now_ms)
        self.stage.tick(now_ms, {("comparisons", 0): 0})


def _answer(model: str, prediction: str | None, latency: float | None, error: str | None = None) -> dict[str, Any]:
    return {"model": model, "prediction": prediction, "scores": None, "latency_ms": latency, "error": error}


def _outcome(record: dict[str, Any], classes: tuple[str, ...], truth: int, said: int, answer: int) -> dict[str, Any]:
    taken = ("request_id", "timestamp_ms", "trial", "segments", "agree", "weight")
    return {
        "v": 1,
        **{name: record[name] for name in taken},
        "label": classes[truth],
        "live_correct": said == truth,
        "shadow_correct": answer == truth,
        "live_loss": float(said != truth),
        "shadow_loss": float(answer != truth),
        "live": {"prediction": classes[said], "scores": None},
        "shadow": {"prediction": classes[answer], "scores": None},
    }
