"""Aggregates are what pandas makes of the same records, which it alone has read."""

import contextlib
import random
from typing import Any

import orjson

from downstream import Downstream
from random_log import SETTINGS, SOURCES, TRIAL, Log
from recomputed import Recomputed
from shadowbus.aggregate.stage import AggregateStage


def readable(log: Log, topic: str) -> list[dict[str, Any]]:
    found = []
    for source in SOURCES:
        for value in log.topics[topic, source]:
            with contextlib.suppress(orjson.JSONDecodeError):
                record = orjson.loads(value)
                if isinstance(record, dict) and isinstance(record.get("trial"), str):
                    found.append(record)
    return found


def test_aggregates_equal_a_recomputation_with_pandas() -> None:
    log, rng, board = Log(11, 200), random.Random(11), Downstream(SETTINGS)
    stage = AggregateStage(frozenset(SOURCES), SETTINGS)
    for topic, source in log.topics:
        done = 0
        while done < len(log.topics[topic, source]):
            piece = log.slice(topic, source, done, done + rng.randint(1, 60))
            stage.process([piece], 1_000)
            done += len(piece.offsets)
    for _, key, value in stage.checkpoint(1_000).records["partials"]:
        board.take(key, value)
    aggregates = {one.key.decode(): orjson.loads(one.value or b"null") for one in board.publish()}
    oracle = Recomputed(readable(log, "comparisons"), readable(log, "outcomes"), SETTINGS.gate.latency_budget_ms)
    for segment in ("all", "country=c0", "country=c1", "country=c2"):
        oracle.agrees_with(aggregates[f"{TRIAL}|{segment}|all"]["totals"], TRIAL, segment)
