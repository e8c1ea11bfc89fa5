"""The records every candidate works on: 30-feature requests and live predictions, and the bundle that shadows them."""

import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import skops.io
from confluent_kafka import Producer
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from shadowbus.models.make import write_bundle

FEATURES = [f"feature_{number:02d}" for number in range(30)]
ROWS = 5_000
KEY = b"%012d-4a7c-9e1f"

PRODUCER = {
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 500_000,
    "log_level": 0,
}


def training_rows() -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and classes that models are fitted on."""
    rows = np.random.default_rng(0).normal(size=(ROWS, len(FEATURES)))
    return rows, (rows[:, :3].sum(axis=1) > 0).astype(int)


@cache
def request_rows() -> NDArray[Any]:
    """The features that requests carry; request n has row n modulo their number."""
    return np.random.default_rng(1).normal(size=(ROWS, len(FEATURES))).round(6)


def make_bundle(folder: Path, estimator: Any = None, name: str = "linear") -> Path:
    """A bundle of an estimator, fitted here; a logistic regression unless told otherwise."""
    model = LogisticRegression() if estimator is None else estimator
    model.fit(*training_rows())
    skops.io.dump(model, folder / f"{name}.skops")
    write_bundle(folder / f"{name}.skops", name=name, version="1", out=folder / name, features=FEATURES, now_ms=0)
    return folder / name


def live_prediction(number: int) -> tuple[int, float]:
    """What production answered to request `number`: the class, and the chance of class 1."""
    p = (number % 97) / 97
    return int(p > 0.5), p


def agreements(bundle: Path, pairs: int) -> int:
    """How many of the first `pairs` comparisons must say that both models agree, by the model itself."""
    (saved,) = bundle.glob("*.skops")
    shadow = skops.io.load(saved, trusted=skops.io.get_untrusted_types(file=saved)).predict(request_rows())
    live = np.array([live_prediction(number)[0] for number in range(97)])
    numbers = np.arange(pairs)
    return int((shadow[numbers % ROWS] == live[numbers % 97]).sum())


def pairs_of(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Key, request and live prediction of each number, as capture writes them."""
    bodies = [orjson.dumps(dict(zip(FEATURES, row.tolist(), strict=True))) for row in request_rows()]
    for number in numbers:
        key, at_ms = KEY % number, 1_700_000_000_000 + number
        answer, p = live_prediction(number)
        yield (
            key,
            b'{"v":1,"request_id":"%b","timestamp_ms":%d,"features":%b,"segments":{"country":"%b"},"context":{}}'
            % (key, at_ms, bodies[number % ROWS], b"DE" if number % 3 else b"FR"),
            b'{"v":1,"request_id":"%b","timestamp_ms":%d,"model":"champion@7","prediction":%d,"scores":[%.4f,%.4f],'
            b'"latency_ms":3.25,"error":null}' % (key, at_ms, answer, 1 - p, p),
        )


def make_producer(bootstrap: str, **properties: object) -> Producer:
    """A producer as capture configures it, in large batches."""
    return Producer({"bootstrap.servers": bootstrap, **PRODUCER, **properties})


def send(producer: Producer, topic: str, key: bytes, value: bytes, at_ms: int = 0) -> None:
    """Produce one record, waiting while the queue is full; `at_ms` 0 is now."""
    while True:
        try:
            producer.produce(topic, value, key, timestamp=at_ms)
        except BufferError:
            producer.poll(0.05)
        else:
            return


def produce_pairs(bootstrap: str, namespace: str, pairs: int) -> None:
    """Write requests and their live predictions, both halves of a pair one after the other and with one timestamp.

    One, because Quix' join never joins a half to an older one that it reads later: 9 pairs of 40,000 were lost to 1 ms.
    """
    producer = make_producer(bootstrap)
    for key, request, prediction in pairs_of(range(pairs)):
        at_ms = time.time_ns() // 1_000_000
        send(producer, f"{namespace}.requests", key, request, at_ms)
        send(producer, f"{namespace}.predictions", key, prediction, at_ms)
    producer.flush()
