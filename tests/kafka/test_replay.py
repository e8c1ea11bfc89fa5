"""Replay on a real broker, its results counted by a plain consumer."""

import base64
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from traffic import FEATURES, Reader, Stream, end, prediction, request

pytestmark = pytest.mark.kafka


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path) -> Stream:
    return Stream(bootstrap, namespace, tmp_path)


@pytest.fixture
def read(stream: Stream) -> Iterator[Callable[[str], Reader]]:
    readers: list[Reader] = []

    def open_reader(topic: str) -> Reader:
        readers.append(Reader(stream.bootstrap, stream.topic(topic)))
        return readers[-1]

    yield open_reader
    for reader in readers:
        reader.close()


def ids(count: int) -> list[str]:
    return [f"request-{number:06d}" for number in range(count)]


def test_every_request_becomes_one_comparison_with_both_answers(stream: Stream, read: Callable[[str], Reader]) -> None:
    wanted = ids(2_000)
    stream.send_pairs(wanted)
    with stream.worker("replay", "--shadow", "challenger"):
        comparisons = read("comparisons").until(len(wanted))
    assert comparisons.keys == Counter(key.encode() for key in wanted)
    one = comparisons.values[0]
    assert one["status"] == "compared"
    assert one["trial"] == "champion@1~challenger@2"
    assert one["live"]["prediction"] is True
    assert one["shadow"]["model"] == "linear@2"
    assert one["agree"] == (one["shadow"]["prediction"] is True)
    assert sum(one["shadow"]["scores"].values()) == pytest.approx(1)
    assert one["segments"]["country"] in ("DE", "FR")
    assert one["missing_features"] == []


def test_killed_and_joined_workers_lose_nothing_and_double_nothing(
    stream: Stream, read: Callable[[str], Reader]
) -> None:
    wanted = ids(100_000)
    stream.send_pairs(wanted[:70_000])
    comparisons = read("comparisons")
    first = stream.start("replay", "--shadow", "challenger", "--worker-id", "one")
    second = None
    try:
        while len(comparisons.keys) < 5_000:
            comparisons.read()
        second = stream.start("replay", "--shadow", "challenger", "--worker-id", "two")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        first = stream.start("replay", "--shadow", "challenger", "--worker-id", "one")
        stream.send_pairs(wanted[70_000:])
        comparisons.until(len(wanted), 180)
    finally:
        assert end(first) == 0, stream.logs()
        if second is not None:
            assert end(second) == 0, stream.logs()
    while comparisons.read(1.0):
        pass
    assert comparisons.keys == Counter(key.encode() for key in wanted)
    assert {value["status"] for value in comparisons.values} == {"compared"}


def test_halves_wait_across_a_restart(stream: Stream, read: Callable[[str], Reader]) -> None:
    wanted = ids(500)
    for request_id in wanted:
        stream.send("requests", request_id, request(request_id))
    stream.producer.flush()
    changelog = Reader(stream.bootstrap, stream.topic("challenger.replay-changelog"))
    with stream.worker("replay", "--shadow", "challenger") as worker:
        while sum(1 for key in changelog.keys if key and key[:1] == b"r") < len(wanted):
            changelog.read()
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    changelog.close()
    for request_id in wanted:
        stream.send("predictions", request_id, prediction(request_id))
    stream.producer.flush()
    with stream.worker("replay", "--shadow", "challenger"):
        comparisons = read("comparisons").until(len(wanted))
    assert comparisons.keys == Counter(key.encode() for key in wanted)
    assert {value["status"] for value in comparisons.values} == {"compared"}


def test_whatever_is_sent_ends_as_a_comparison_or_a_dead_letter(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path, extra="[replay]\njoin_window_ms = 4000\n")
    nan_text = json.dumps(request("nan-literal")).replace('"f00": ', '"f00": NaN, "x": ').encode()
    hostile_requests: dict[str, object] = {
        "not-json": b"{oops",
        "not-an-object": b"[1, 2]",
        "nan-literal": nan_text,
        "infinity-literal": b'{"v":1,"request_id":"infinity-literal","timestamp_ms":1,"features":[Infinity]}',
        "features-are-text": request("features-are-text", features="abc"),
        "time-is-text": request("time-is-text", timestamp_ms="yesterday"),
        "segments-are-a-list": request("segments-are-a-list", segments=[1]),
        "id-is-another": request("someone-else"),
        "id-is-missing": {"v": 1, "timestamp_ms": 1, "features": {}},
        "not-utf8": b"\xff\xfe\x00",
    }
    odd_requests: dict[str, object] = {
        "features-of-wrong-type": request("features-of-wrong-type", features=dict.fromkeys(FEATURES, "text")),
        "feature-is-null": request("feature-is-null", features={**dict.fromkeys(FEATURES, 0.5), "f00": None}),
        "features-are-few": request("features-are-few", features=[1.0, 2.0]),
        "body-of-5-mb": request("body-of-5-mb", context={"text": "x" * 5_000_000}),
    }
    hostile_predictions: dict[str, object] = {
        "p-not-json": b"nope",
        "p-no-model": prediction("p-no-model", model=None),
        "p-null": None,
    }
    good = ids(300)
    for key, value in {**hostile_requests, **odd_requests}.items():
        stream.send("requests", key, value)
        stream.send("predictions", key, prediction(key))
    for key, value in hostile_predictions.items():
        stream.send("requests", key, request(key))
        stream.send("predictions", key, value)
    stream.send("requests", "r-null", None)
    stream.send("requests", None, request("no-key"))
    stream.send("requests", b"\xff\xff", request("odd-key"))
    stream.send("requests", "only-a-request", request("only-a-request"))
    stream.send("predictions", "only-a-prediction", prediction("only-a-prediction"))
    stream.send("predictions", "live-error", prediction("live-error", error="ValueError: no"))
    stream.send("requests", "live-error", request("live-error"))
    stream.send_pairs(good)
    stream.send("requests", good[0], request(good[0]))
    stream.send("predictions", good[1], prediction(good[1], prediction=False))
    stream.producer.flush()

    expected = {
        **dict.fromkeys(hostile_requests, "request_missing"),
        **dict.fromkeys(hostile_predictions, "live_missing"),
        **dict.fromkeys(good, "compared"),
        "features-of-wrong-type": "shadow_error",
        "feature-is-null": "shadow_error",
        "features-are-few": "shadow_error",
        "body-of-5-mb": "compared",
        "only-a-request": "live_missing",
        "only-a-prediction": "request_missing",
        "live-error": "live_error",
    }
    comparisons, letters = (
        Reader(bootstrap, stream.topic("comparisons")),
        Reader(bootstrap, stream.topic("dead-letters")),
    )
    with stream.worker("replay", "--shadow", "challenger") as worker:
        comparisons.until(len(expected))
        assert worker.poll() is None, stream.logs()
    while letters.read(1.0):
        pass
    found = {value["request_id"]: value["status"] for value in comparisons.values}
    assert found == expected
    assert set(comparisons.keys.values()) == {1}
    reasons = Counter(letter["reason"] == "duplicate" for letter in letters.values)
    assert reasons == {True: 2, False: len(hostile_requests) + len(hostile_predictions) + 3}
    raw = {base64.b64decode(letter["bytes"]) for letter in letters.values if letter["bytes"] is not None}
    assert {b"{oops", b"nope", nan_text} <= raw
    comparisons.close()
    letters.close()


def test_the_books_account_for_every_record(stream: Stream, read: Callable[[str], Reader]) -> None:
    wanted = ids(1_000)
    stream.send_pairs(wanted)
    stream.send("requests", "waits-alone", request("waits-alone"))
    stream.send("requests", "broken", b"{")
    stream.send("requests", wanted[0], request(wanted[0]))
    stream.producer.flush()
    vitals = read("vitals")
    with stream.worker("replay", "--shadow", "challenger"):
        read("comparisons").until(len(wanted))
        deadline = time.monotonic() + 30
        while True:
            vitals.read()
            books = {value["partition"]: value["books"] for value in vitals.values}
            if sum(book["requests"]["read"] for book in books.values()) == len(wanted) + 3:
                break
            assert time.monotonic() < deadline, books
    requests = Counter[str]()
    compared = Counter[str]()
    for book in books.values():
        requests.update(book["requests"])
        for statuses in book["comparisons"].values():
            compared.update(statuses)
    assert compared == {"compared": len(wanted)}
    assert requests["duplicates"] == 1
    assert requests["waiting"] == 2  # "broken" is found to be broken when it meets its prediction, or expires
    assert requests["read"] == compared.total() + requests["duplicates"] + requests["waiting"]
