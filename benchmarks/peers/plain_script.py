"""The job as a plain confluent-kafka script: one record at a time, a dict for what waits, commits after the flush.

Usage: python plain_script.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
import time
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer
from shadow_model import ShadowModel

COMMIT_SECONDS = 1.0


def main() -> None:
    bootstrap, namespace, bundle, output = sys.argv[1:]
    shadow = ShadowModel(Path(bundle))
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"})
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": output,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    requests_topic = f"{namespace}.requests"
    consumer.subscribe([requests_topic, f"{namespace}.predictions"])
    requests: dict[str, Any] = {}
    predictions: dict[str, Any] = {}
    commit_at = time.monotonic() + COMMIT_SECONDS
    read = 0
    while True:
        for message in consumer.consume(1_000, 0.1):
            if message.error() is not None:
                raise SystemExit(str(message.error()))
            read += 1
            record = orjson.loads(message.value() or b"")
            mine, other = (requests, predictions) if message.topic() == requests_topic else (predictions, requests)
            request_id = record["request_id"]
            half = other.pop(request_id, None)
            if half is None:
                mine[request_id] = record
                continue
            request, live = (record, half) if mine is requests else (half, record)
            (scores,) = shadow.scores([request])
            producer.produce(output, shadow.compare(request, live, scores), message.key())
            producer.poll(0)
        if read and time.monotonic() >= commit_at:
            producer.flush()
            consumer.commit(asynchronous=False)
            read, commit_at = 0, time.monotonic() + COMMIT_SECONDS


if __name__ == "__main__":
    main()
