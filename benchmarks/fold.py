"""What folding takes: microseconds for each comparison and outcome, and the bytes of a partial.

Run `python benchmarks/fold.py`: the best of eight rounds over 20,000 records in slices of 1,000, two classes, three
segments, one core.
"""

import random
import time
from typing import Any

import orjson

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.state import RunningTotals
from shadowbus.stage import RecordBatch
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import Key

COUNT, SLICE, ROUNDS = 20_000, 1_000, 8
TRIAL = "champion@1~challenger@2"
TERMS = MetricDefinitions(300_000, 50.0)


def record(dice: random.Random, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A comparison and its outcome."""
    chances = {"live": dice.random()}
    chances["shadow"] = min(1.0, max(0.0, chances["live"] + dice.gauss(0, 0.1)))
    sides = {side: {"prediction": int(p > 0.5), "scores": [1 - p, p]} for side, p in chances.items()}
    label, segments = int(dice.random() < chances["live"]), {"country": dice.choice(("DE", "FR", "US", "GB"))}
    segments.update(device=dice.choice(("phone", "web")), tier=dice.choice(("a", "b", "c")))
    agree = sides["live"]["prediction"] == sides["shadow"]["prediction"]
    head = {"v": 1, "request_id": f"request-{number:07d}", "timestamp_ms": 1_700_000_000_000 + number // 10}
    shared = {**head, "trial": TRIAL, "agree": agree, "weight": 1.0, "segments": segments}
    alone = {"live": dice.random() * 5, "shadow": dice.random() * 5 if number % 20 == 0 else None}
    answers = {side: {"model": "m@1", **sides[side], "latency_ms": alone[side], "error": None} for side in sides}
    distance = abs(chances["live"] - chances["shadow"])
    comparison = {**shared, "status": "compared", **answers, "distance": distance, "missing_features": []}
    right = {f"{side}_correct": one["prediction"] == label for side, one in sides.items()}
    outcome = {**shared, "label": label, **right, "live_loss": 0.5, "shadow_loss": 0.6, **sides, "retracts": False}
    return comparison, outcome


def fold_all(topic: str, values: list[bytes | None], running: RunningTotals) -> float:
    """Fold and add up; CPU seconds."""
    offsets = list(range(SLICE))
    before = time.process_time()
    for start in range(0, COUNT, SLICE):
        piece = RecordBatch(topic, 0, [b"k"] * SLICE, values[start : start + SLICE], offsets, offsets)
        running.add(fold(piece, running.vocabulary_of, TERMS), 1_700_000_100_000)
    return time.process_time() - before


def main() -> None:
    """Print the figures."""
    dice = random.Random(1)
    pairs = [record(dice, number) for number in range(COUNT)]
    running = RunningTotals(TERMS, 288)
    for topic, records in zip(("comparisons", "outcomes"), zip(*pairs, strict=True), strict=True):
        values: list[bytes | None] = [orjson.dumps(one) for one in records]
        best = min(fold_all(topic, values, RunningTotals(TERMS, 288)) for _ in range(ROUNDS))
        before = time.process_time()
        for value in values:
            orjson.loads(value or b"")
        parsing = time.process_time() - before
        print(f"{topic}: {best / COUNT * 1e6:.2f} us each, of which parsing {parsing / COUNT * 1e6:.2f}")
        fold_all(topic, values, running)
    for key, totals in running.take_changes()[0].items():
        if key.segment == "all":
            print(f"{'trial' if key == Key(TRIAL) else 'window'}: {len(orjson.dumps(totals.to_record()))} bytes")


if __name__ == "__main__":
    main()
