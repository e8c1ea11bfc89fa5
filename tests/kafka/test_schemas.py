"""The JSON Schemas of `docs/schemas/` against what really lies in the topics."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from shadowbus.clock import now_ms
from topic_log import log_of
from traffic import Reader, Stream, end, prediction, request

pytestmark = pytest.mark.kafka

SCHEMAS = sorted((Path(__file__).resolve().parents[2] / "docs" / "schemas").glob("*.json"))
SETTINGS = "[replay]\njoin_window_ms = 2000\n[gate]\nmin_requests = 10\n[aggregate]\npublish_seconds = 0.5\n"


def test_every_record_of_every_public_topic_is_what_its_schema_says(
    bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    """All that can happen to a request: answered, in error, without an answer, unreadable; and an answer to none."""
    stream = Stream(bootstrap, namespace, tmp_path, extra=SETTINGS)
    ids = [f"request-{number:03d}" for number in range(60)]
    up = stream.start("up")
    try:
        stream.send_pairs(ids)
        stream.send("requests", "errs", request("errs"))
        stream.send("predictions", "errs", prediction("errs", prediction=None, scores=None, error="no model"))
        stream.send("requests", "alone", request("alone"))
        stream.send("predictions", "orphan", prediction("orphan"))
        stream.send("requests", "broken", b"\xff not JSON")
        for key in ids[:40]:
            stream.send("labels", key, {"v": 1, "request_id": key, "timestamp_ms": now_ms(), "label": 1})
        stream.producer.flush()
        Reader(bootstrap, stream.topic("outcomes")).until(40).close()
        Reader(bootstrap, stream.topic("comparisons")).until(63).close()
        verdicts = Reader(bootstrap, stream.topic("verdicts"))
        deadline = time.monotonic() + 90
        while not any(value["labels"] == 40 for value in verdicts.values):
            assert time.monotonic() < deadline, stream.logs()
            verdicts.read(0.5)
        verdicts.close()
    finally:
        assert end(up) == 0, stream.logs()
    seen = Counter[str]()
    for path in SCHEMAS:
        validate: Any = fastjsonschema.compile(json.loads(path.read_text()))
        for record in log_of(bootstrap, stream.topic(path.stem)):
            if record.value is not None and (path.stem, record.key) != ("requests", b"broken"):
                validate(json.loads(record.value))
                seen[path.stem] += 1
    assert sorted(seen) == [path.stem for path in SCHEMAS]
    assert seen["comparisons"] == 63
    assert seen["dead-letters"] == 1


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("requests", {"request_id": "a", "timestamp_ms": 1}),
        ("predictions", {"request_id": "a", "timestamp_ms": 1, "model": 3, "prediction": 1}),
        ("comparisons", {"request_id": "a", "timestamp_ms": 1, "trial": "a~b@1", "status": "fine", "live": None,
                         "shadow": None, "agree": None, "distance": None}),
        ("verdicts", {"trial": "a~b@1", "verdict": "MAYBE", "criteria": [], "requests": 1, "labels": 0, "needed": {},
                      "decided_ms": 1}),
    ],
)  # fmt: skip
def test_what_is_no_such_record_does_not_pass(topic: str, value: dict[str, object]) -> None:
    (path,) = [path for path in SCHEMAS if path.stem == topic]
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        fastjsonschema.compile(json.loads(path.read_text()))(value)
