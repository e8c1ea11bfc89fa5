"""The records every candidate works on: 30-feature requests and live predictions, and the bundle that shadows them."""

from pathlib import Path

import numpy as np
import orjson
import skops.io
from confluent_kafka import Producer
from sklearn.linear_model import LogisticRegression

from shadowbus.shadows.bundle import write_bundle

FEATURES = [f"feature_{number:02d}" for number in range(30)]
ROWS = 5_000


def make_bundle(folder: Path) -> Path:
    """A logistic regression on 30 features."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, len(FEATURES)))
    model = LogisticRegression().fit(rows, (rows[:, :3].sum(axis=1) > 0).astype(int))
    skops.io.dump(model, folder / "model.skops")
    write_bundle(folder / "model.skops", name="linear", version="1", out=folder / "bundle", features=FEATURES, now_ms=0)
    return folder / "bundle"


def produce_pairs(bootstrap: str, namespace: str, pairs: int) -> None:
    """Write requests and their live predictions, as capture does."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(ROWS, len(FEATURES))).round(6)
    bodies = [orjson.dumps(dict(zip(FEATURES, row.tolist(), strict=True))) for row in rows]
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for number in range(pairs):
        key = b"%012d-4a7c-9e1f" % number
        at_ms = 1_700_000_000_000 + number
        request = (
            b'{"v":1,"request_id":"%b","timestamp_ms":%d,"features":%b,"segments":{"country":"%b"},"context":{}}'
            % (key, at_ms, bodies[number % ROWS], b"DE" if number % 3 else b"FR")
        )
        p = (number % 97) / 97
        answer = (
            b'{"v":1,"request_id":"%b","timestamp_ms":%d,"model":"champion@7","prediction":%d,"scores":[%.4f,%.4f],'
            b'"latency_ms":3.25,"error":null}' % (key, at_ms, p > 0.5, 1 - p, p)
        )
        for topic, value in (("requests", request), ("predictions", answer)):
            while True:
                try:
                    producer.produce(f"{namespace}.{topic}", value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
    producer.flush()
