"""Made-up traffic for tests: a bundle, requests and live predictions, and an independent reader of the results."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from sklearn.linear_model import LogisticRegression

from shadowbus.kafka.topics import create_topics
from shadowbus.models.make import write_bundle
from shadowbus.settings import Settings, load_settings

FAILING_WORKER = Path(__file__).with_name("failing_worker.py")
FEATURES = [f"f{number:02d}" for number in range(30)]


def make_bundle(folder: Path) -> Path:
    """A fitted logistic regression on 30 features, as a bundle."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(500, len(FEATURES)))
    skops.io.dump(LogisticRegression().fit(rows, rows[:, 0] + rows[:, 1] > 0), folder / "model.skops")
    write_bundle(folder / "model.skops", name="linear", version="2", out=folder / "bundle", features=FEATURES, now_ms=0)
    return folder / "bundle"


def request(request_id: str, **changes: object) -> dict[str, Any]:
    """A request in the wire format; `changes` replace fields."""
    seed = sum(request_id.encode())
    features = {name: ((seed * (index + 3)) % 200) / 100 - 1 for index, name in enumerate(FEATURES)}
    record = {"v": 1, "request_id": request_id, "timestamp_ms": int(time.time() * 1000), "features": features}
    return {**record, "segments": {"country": "DE" if seed % 2 else "FR"}, **changes}


def prediction(request_id: str, **changes: object) -> dict[str, Any]:
    """A live prediction in the wire format; `changes` replace fields."""
    record = {"v": 1, "request_id": request_id, "timestamp_ms": int(time.time() * 1000), "model": "champion@1"}
    return {**record, "prediction": True, "scores": [0.4, 0.6], "latency_ms": 1.5, "error": None, **changes}


@dataclass
class Stream:
    """One namespace on a real broker: its settings file, a plain producer, and worker processes."""

    bootstrap: str
    namespace: str
    folder: Path
    shadows: Sequence[str] = ("challenger",)
    extra: str = ""
    head: str = ""
    settings: Settings = field(init=False)
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        bundle = make_bundle(self.folder)
        blocks = [f'[[shadow]]\nname = "{name}"\nmodel = "{bundle}"\n' for name in self.shadows]
        text = f'namespace = "{self.namespace}"\n{self.head}[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n'
        (self.folder / "shadow.toml").write_text(text + "\n".join(blocks) + self.extra)
        self.settings = load_settings(self.folder / "shadow.toml")
        create_topics(self.settings)
        self.producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "message.max.bytes": 16_000_000,
                "log_level": 0,
            }
        )

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return f"{self.namespace}.{name}"

    def send(self, topic: str, key: str | bytes | None, value: object) -> None:
        """Produce one record: bytes as they are, anything else as JSON."""
        raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        while True:
            try:
                self.producer.produce(self.topic(topic), value=raw, key=key)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return

    def send_pairs(self, ids: Sequence[str]) -> None:
        """Produce a request and a live prediction for each id."""
        for request_id in ids:
            self.send("requests", request_id, request(request_id))
            self.send("predictions", request_id, prediction(request_id))
        self.producer.flush()

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process of the real command line, ended at the end."""
        process = self.start(*arguments)
        try:
            yield process
        finally:
            end(process)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker process; the caller ends it. It fails where `SHADOWBUS_FAULT` says (`failing_worker.py`)."""
        program = [str(FAILING_WORKER)] if os.environ.get("SHADOWBUS_FAULT") else ["-m", "shadowbus"]
        command = [sys.executable, *program, "--config", str(self.folder / "shadow.toml"), *arguments]
        log = (self.folder / "workers.log").open("ab")
        with log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def logs(self) -> str:
        """What the workers have said."""
        return (self.folder / "workers.log").read_text(errors="replace")


def end(process: subprocess.Popen[bytes]) -> int:
    """Ask a worker to end as an operator would; kill it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        raise


class Reader:
    """A plain consumer over one topic, from its beginning, that knows nothing of shadowbus.

    Args:
        bootstrap: The broker.
        topic: Full name.
        isolation: What it may see.
    """

    def __init__(self, bootstrap: str, topic: str, isolation: str = "read_committed") -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"reader-{time.time_ns()}",
                "isolation.level": isolation,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self.consumer.subscribe([topic])
        self.keys: Counter[bytes | None] = Counter()
        self.raw: list[bytes | None] = []

    def read(self, seconds: float = 0.2) -> int:
        """Take what there is now; returns how many records."""
        count = 0
        for message in self.consumer.consume(10_000, seconds):
            error, value = message.error(), message.value()
            if error is not None:
                assert error.retriable(), error
                continue
            count += 1
            self.keys[message.key()] += 1
            self.raw.append(value)
        return count

    @property
    def values(self) -> list[Any]:
        """Every value read so far, parsed."""
        return [None if value is None else json.loads(value) for value in self.raw]

    def until(self, unique: int, seconds: float = 90) -> "Reader":
        """Read until so many different keys were seen, then on until nothing more comes for a second."""
        deadline = time.monotonic() + seconds
        while len(self.keys) < unique:
            assert time.monotonic() < deadline, f"{len(self.keys)} of {unique} keys came in {seconds} s"
            self.read()
        while self.read(1.0):
            pass
        return self

    def close(self) -> None:
        self.consumer.close()


def admin(bootstrap: str) -> AdminClient:
    """A plain admin client."""
    return AdminClient({"bootstrap.servers": bootstrap})
