"""Capture against a real broker: the bytes on the wire, their partitions, and what an outage costs."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import shadowbus
from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.capture import ShadowTap, Tap
from shadowbus.clock import Deadline

pytestmark = pytest.mark.kafka
PARTITIONS = 4
NAMES = ("requests", "predictions", "labels")


def murmur2(key: bytes) -> int:
    """Java's Utils.murmur2, from its published definition: the oracle for where a key has to be."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key: bytes) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % PARTITIONS


def create_topics(bootstrap: str, namespace: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    futures = admin.create_topics([NewTopic(f"{namespace}.{name}", PARTITIONS, 1) for name in NAMES])
    for future in futures.values():
        future.result(30)


def read(bootstrap: str, topic: str, seconds: float = 30) -> list[Message]:
    """Everything that is in the topic now, by a consumer that knows nothing of this project."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    parts = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    wanted = sum(consumer.get_watermark_offsets(part, timeout=seconds)[1] for part in parts)
    consumer.assign(parts)
    messages: list[Message] = []
    deadline = Deadline.after(seconds)
    while len(messages) < wanted and not deadline.passed:
        messages += consumer.consume(wanted - len(messages), timeout=0.2)
    consumer.close()
    assert len(messages) == wanted
    return messages


def values(messages: list[Message]) -> dict[str, Any]:
    """The records by their key; no key may come twice."""
    records = {(message.key() or b"").decode(): orjson.loads(message.value() or b"") for message in messages}
    assert len(records) == len(messages)
    return records


def ask(tap: Tap, numbers: range) -> None:
    for number in numbers:
        with tap.request({"number": number}, request_id=f"r-{number}") as call:
            call.prediction = number


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = Deadline.after(seconds)
    pause = threading.Event()
    while not condition():
        assert not deadline.passed, "the condition never came true"
        pause.wait(0.02)


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedKafka]:
    """A broker of our own, to be frozen and killed."""
    with EmbeddedKafka() as kafka:
        yield kafka


def test_records_on_the_wire_are_as_the_design_says(bootstrap: str, namespace: str) -> None:
    create_topics(bootstrap, namespace)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@3")
    with tap.request({"age": 41}, segments={"country": "DE"}, request_id="r-ü", context={"route": "a"}) as call:
        call.prediction, call.scores = "stay", [0.75, 0.25]
    with pytest.raises(ValueError, match="no"), tap.request([1.5, None]) as failing:
        raise ValueError("no")
    tap.label("r-ü", "churn", timestamp_ms=1_700_000_000_000)
    assert (tap.close(30).delivered, tap.counters().lost) == (5, 0)

    requests, predictions, labels = (values(read(bootstrap, f"{namespace}.{name}")) for name in NAMES)
    assert requests["r-ü"] == {
        "v": 1,
        "request_id": "r-ü",
        "timestamp_ms": requests["r-ü"]["timestamp_ms"],
        "features": {"age": 41},
        "segments": {"country": "DE"},
        "context": {"route": "a"},
    }
    assert requests[failing.request_id]["features"] == [1.5, None]
    assert (requests[failing.request_id]["segments"], requests[failing.request_id]["context"]) == ({}, {})
    answer = predictions["r-ü"]
    assert isinstance(answer["timestamp_ms"], int)
    assert isinstance(answer["latency_ms"], float)
    assert {**answer, "timestamp_ms": 0, "latency_ms": 0.0} == {
        "v": 1,
        "request_id": "r-ü",
        "timestamp_ms": 0,
        "model": "champion@3",
        "prediction": "stay",
        "scores": [0.75, 0.25],
        "latency_ms": 0.0,
        "error": None,
        "timed": "call",
    }
    error = predictions[failing.request_id]
    assert (error["prediction"], error["scores"], error["error"]) == (None, None, "ValueError: no")
    assert labels == {"r-ü": {"v": 1, "request_id": "r-ü", "timestamp_ms": 1_700_000_000_000, "label": "churn"}}


def test_all_records_of_a_request_are_where_murmur2_of_its_key_says(bootstrap: str, namespace: str) -> None:
    create_topics(bootstrap, namespace)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@3")
    for number in range(200):
        with tap.request({}, request_id=None if number % 2 else "ü" * number + str(number)) as call:
            call.prediction = 1
        tap.label(call.request_id, 1)
    assert tap.close(30).delivered == 600
    for name in NAMES:
        messages = read(bootstrap, f"{namespace}.{name}")
        assert [message.partition() for message in messages] == [partition_of(m.key() or b"") for m in messages]
        assert {message.partition() for message in messages} == set(range(PARTITIONS))


def test_many_threads_deliver_every_record_once(bootstrap: str, namespace: str) -> None:
    create_topics(bootstrap, namespace)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@3")
    threads = [threading.Thread(target=ask, args=(tap, range(at, at + 500))) for at in range(0, 4_000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tap.close(30).delivered == 8_000
    answers = values(read(bootstrap, f"{namespace}.predictions"))
    assert {name: record["prediction"] for name, record in answers.items()} == {f"r-{n}": n for n in range(4_000)}


def test_an_http_service_is_mirrored(bootstrap: str, namespace: str) -> None:
    create_topics(bootstrap, namespace)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@3")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        number = orjson.loads((await receive())["body"])["number"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": orjson.dumps({"prediction": number})})

    async def serve(number: int) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": orjson.dumps({"number": number, "request_id": number})}

        async def send(message: Any) -> None:
            await asyncio.sleep(0)

        await watched({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive, send)

    async def serve_all() -> None:
        await asyncio.gather(*(serve(number) for number in range(300)))

    watched = ShadowTap(app, tap, ["/predict"])
    asyncio.run(serve_all())
    assert tap.close(30).delivered == 600
    requests, predictions = (values(read(bootstrap, f"{namespace}.{name}")) for name in NAMES[:2])
    assert {name: record["features"] for name, record in requests.items()} == {
        str(n): {"number": n} for n in range(300)
    }
    assert {name: record["prediction"] for name, record in predictions.items()} == {str(n): n for n in range(300)}


FORKING = """
import json, os, sys
from shadowbus.capture import Tap

def ask(name):
    for number in range(100):
        with tap.request({"number": number}, request_id=f"{name}-{number}") as call:
            call.prediction = number

tap = Tap(sys.argv[1], {"bootstrap.servers": sys.argv[2]}, model="champion@3")
ask("before")
children = []
for worker in range(3):
    child = os.fork()
    if child == 0:
        ask(f"worker{worker}")
        sys.exit(0)  # the end of the process sends what is left
    children.append(child)
ask("after")
ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(json.dumps({"ended": ended, "delivered": tap.close(30).delivered}))
"""


def test_forked_workers_and_their_parent_deliver_everything_once(bootstrap: str, namespace: str) -> None:
    create_topics(bootstrap, namespace)
    done = subprocess.run(
        [sys.executable, "-c", FORKING, namespace, bootstrap],
        env={**os.environ, "PYTHONPATH": str(Path(shadowbus.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"ended": [0, 0, 0], "delivered": 400}
    names = {f"{name}-{n}" for name in ("before", "after", "worker0", "worker1", "worker2") for n in range(100)}
    for topic in NAMES[:2]:
        assert set(values(read(bootstrap, f"{namespace}.{topic}"))) == names


def test_a_frozen_broker_delays_nobody_and_loses_nothing_once_it_wakes(fragile: EmbeddedKafka, namespace: str) -> None:
    create_topics(fragile.bootstrap, namespace)
    tap = Tap(namespace, {"bootstrap.servers": fragile.bootstrap}, model="champion@3")
    ask(tap, range(100))
    wait_until(lambda: tap.counters().waiting == 0)
    fragile.pause_node(1)
    try:
        started = Deadline.after(10)  # were one call to wait for Kafka, it would be for message.timeout.ms: 2 min
        ask(tap, range(100, 2_000))
        assert not started.passed
        assert tap.counters().waiting == 3_800
    finally:
        fragile.resume_node(1)
    assert (tap.close(60).delivered, tap.counters().lost) == (4_000, 0)
    assert set(values(read(fragile.bootstrap, f"{namespace}.requests"))) == {f"r-{n}" for n in range(2_000)}


def test_a_long_outage_is_counted_and_capture_goes_on_after_it(fragile: EmbeddedKafka, namespace: str) -> None:
    create_topics(fragile.bootstrap, namespace)
    settings = {"bootstrap.servers": fragile.bootstrap, "message.timeout.ms": 1_000, "reconnect.backoff.max.ms": 500}
    tap = Tap(namespace, settings, model="champion@3")
    ask(tap, range(100))
    wait_until(lambda: tap.counters().waiting == 0)
    fragile.pause_node(1)
    try:
        ask(tap, range(100, 200))
        wait_until(lambda: tap.counters().dropped["delivery_failed"] == 200)
    finally:
        fragile.resume_node(1)
    wait_until(lambda: _delivers_again(tap))
    counters = tap.close(30)
    assert counters.dropped["delivery_failed"] >= 200
    assert counters.captured == counters.delivered + counters.dropped["delivery_failed"]
    stored = sum(len(read(fragile.bootstrap, f"{namespace}.{name}")) for name in NAMES[:2])
    # A record that Kafka had taken but could not confirm in time is counted as failed and may yet be stored.
    assert counters.delivered <= stored <= counters.captured


def _delivers_again(tap: Tap) -> bool:
    before = tap.counters().delivered
    with tap.request({"after": "the outage"}) as call:
        call.prediction = 1
    threading.Event().wait(0.2)
    return tap.counters().delivered > before


def test_a_broker_that_dies_for_good_costs_records_and_never_an_answer(namespace: str) -> None:
    with EmbeddedKafka() as kafka:
        create_topics(kafka.bootstrap, namespace)
        tap = Tap(namespace, {"bootstrap.servers": kafka.bootstrap}, model="champion@3")
        ask(tap, range(100))
        wait_until(lambda: tap.counters().waiting == 0)
        kafka.kill_node(1)
        ask(tap, range(100, 1_100))
        counters = tap.close(0.5)
    assert (counters.captured, counters.delivered, counters.waiting) == (2_200, 200, 0)
    assert counters.dropped["unsent"] == 2_000
    assert counters.last_error is not None
