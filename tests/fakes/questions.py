"""Questions to a real model process, and what came back."""

import time
from collections.abc import Sequence

import orjson

from shadowbus.replay.model.client import IN_FLIGHT, Chunk
from shadowbus.replay.model.process import ModelProcess


def chunk(features: Sequence[object]) -> Chunk:
    """Rows r0, r1, … with one feature each."""
    keys = [b"r%d" % number for number in range(len(features))]
    values = [
        orjson.dumps({"request_id": key.decode(), "timestamp_ms": 1, "features": {"deed": feature}})
        for key, feature in zip(keys, features, strict=True)
    ]
    return Chunk(keys, values)


def ask(model: ModelProcess, features: Sequence[object]) -> dict[int, tuple[str, str]]:
    """Status and text of the rows that failed; every other row was predicted, and each row has its request."""
    asked = chunk(features)
    model.ask(asked)
    while asked.answers is None:
        model.collect(wait=True)
    answers = asked.answers
    assert len(answers.predictions) == len(answers.scores) == len(features) - len(answers.failed)
    assert len(answers.tails) == len(features)
    return answers.failed


def statuses(model: ModelProcess, features: Sequence[object]) -> dict[int, str]:
    """The statuses of the rows that failed."""
    return {row: status for row, (status, _) in ask(model, features).items()}


def rows_per_second(model: ModelProcess, seconds: float = 0.5) -> float:
    """How fast good rows are answered, several chunks under way."""
    started, rows, asked = time.monotonic(), 0, chunk([0] * 500)
    while time.monotonic() - started < seconds:
        while model.in_flight < IN_FLIGHT:
            model.ask(Chunk(asked.keys, asked.values))
        before = model.in_flight
        model.collect(wait=True)
        rows += (before - model.in_flight) * len(asked.keys)
    while model.in_flight:
        model.collect(wait=True)
    return rows / seconds
