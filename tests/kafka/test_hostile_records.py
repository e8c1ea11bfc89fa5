"""Every stage on a real broker, with records that are as large, as long and as odd as they can be among good ones."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fakes.large import Large
from fakes.misbehaving import bundle_of
from hostile import record, variants
from traffic import Reader, Stream

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

GOOD = 300
TRIAL = "champion@1~large@1"
NOW_MS = int(time.time() * 1_000)
REQUEST = {"timestamp_ms": str(NOW_MS), "features": '{"deed":0}', "segments": '{"country":"DE"}', "context": "{}"}
PREDICTION = {
    "timestamp_ms": str(NOW_MS),
    "model": '"champion@1"',
    "prediction": "1",
    "scores": "null",
    "latency_ms": "1.5",
    "error": "null",
}
LABEL = {"timestamp_ms": str(NOW_MS), "label": "1"}
TOPICS = {"requests": REQUEST, "predictions": PREDICTION, "labels": LABEL}


def megabytes(size: int) -> str:
    return json.dumps("x" * (size * 1_000_000))


HUGE: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "both answers": ({"features": '{"deed":9}'}, {"prediction": megabytes(9)}, {}),
    "a shadow's answer": ({"features": '{"deed":17}'}, {}, {}),
    "a shadow's error": ({"features": '{"deed":-20}'}, {}, {}),
    "a live answer": ({}, {"prediction": megabytes(15)}, {}),
    "live scores": ({}, {"scores": json.dumps({"x" * 9_000_000: 1.0})}, {}),
    "a live error": ({}, {"error": megabytes(15)}, {}),
    "a live model's name": ({}, {"model": megabytes(15)}, {}),
    "a label": ({}, {}, {"label": megabytes(15)}),
    "a segment's name": ({"segments": json.dumps({"x" * 9_000_000: "DE"})}, {}, {}),
    "a segment's value": ({"segments": '{"country":' + megabytes(15) + "}"}, {}, {}),
    "a context": ({"context": megabytes(15)}, {}, {}),
    "a missing feature": ({"features": "{}"}, {}, {}),
}
"""What is changed in a request, its live prediction and its label."""


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the model process finds the estimator
    bundle = bundle_of(Large(), tmp_path / "large")
    extra = (
        f'[[shadow]]\nname = "large"\nmodel = "{bundle}"\nallow_pickle = true\ntimeout_ms = 1500\ntask = "regression"\n'
        "[gate]\nmin_requests = 100\nmax_error_rate = 0.9\n[replay]\njoin_window_ms = 3000\n"
    )
    return Stream(bootstrap, namespace, tmp_path, shadows=(), extra=extra)


@pytest.fixture
def comparisons(stream: Stream) -> Iterator[Reader]:
    reader = Reader(stream.bootstrap, stream.topic("comparisons"))
    yield reader
    reader.close()


def newest_books(stream: Stream, wanted: int) -> dict[str, Any]:
    """The books of the newest verdict on the trial that rests on so many comparisons."""
    reader = Reader(stream.bootstrap, stream.topic("verdicts"))
    deadline = time.monotonic() + 90
    try:
        while True:
            found = [one for one in reader.values if one is not None and one.get("trial") == TRIAL and "books" in one]
            if found and found[-1]["books"]["counted"] == found[-1]["books"]["claimed"] == wanted:
                books: dict[str, Any] = found[-1]["books"]
                return books
            assert time.monotonic() < deadline, found[-1:] and found[-1]["books"]
            reader.read()
    finally:
        reader.close()


def test_whatever_a_record_holds_every_request_has_one_comparison_the_books_close_and_a_verdict_comes(
    stream: Stream, comparisons: Reader
) -> None:
    ids = Counter[str]()

    def send(name: str, **changes: dict[str, str | None]) -> None:
        ids[name] += 1
        for topic, good in TOPICS.items():
            fields = {**good, **changes.get(topic, {}), "request_id": json.dumps(name)}
            stream.send(topic, name, record(**fields))

    for number in range(GOOD):
        send(f"good {number}")
    for topic, good in TOPICS.items():
        for name, fields in variants(good, huge=False):
            send(f"{topic}: {name}", **{topic: fields})
    for name, (request, prediction, label) in HUGE.items():
        send(name, requests=dict(request), predictions=dict(prediction), labels=dict(label))
        stream.producer.flush()
    for number in range(GOOD):
        send(f"good again {number}")
    stream.producer.flush()
    with ExitStack() as workers:
        for stage in (("replay", "--shadow", "large"), ("judge",), ("aggregate",), ("decide",), ("agents",)):
            workers.enter_context(stream.worker(*stage))
        comparisons.until(len(ids), 150)
        found = comparisons.values
        books = newest_books(stream, sum(one["trial"] == TRIAL for one in found))
    assert Counter(one["request_id"] for one in found) == ids
    assert (books["closes"], books["gap"], books["note"]) == (True, 0, "")
    status = {one["request_id"]: one["status"] for one in found}
    assert {status[f"good {number}"] for number in range(GOOD)} == {"compared"}
    assert {status[f"good again {number}"] for number in range(GOOD)} == {"compared"}
    assert status["a shadow's answer"] == status["a shadow's error"] == "shadow_error"
    assert status["a live answer"] == status["live scores"] == status["both answers"] == "live_error"
    assert "starts again" not in stream.logs()
    letters = Reader(stream.bootstrap, stream.topic("dead-letters"))
    letters.until(3)
    topics = {one["topic"].rpartition(".")[2] for one in letters.values}
    letters.close()
    assert topics == {"requests", "predictions", "labels"}  # nothing that a stage wrote was refused by the next
