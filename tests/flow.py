"""Comparisons by a plain producer, worker processes of the last stages, and a plain reader of what they publish."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from shadowbus.kafka.topics import create_topics
from shadowbus.settings import load_settings

PARTITIONS = 4
TRIAL = "live@1~new@2"
RUN = {
    "aggregate": "from shadowbus.aggregate.worker import run_aggregate as run; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); run(settings, stop, 'a')",
    "decide": "from shadowbus.decide.worker import run_decide as run; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); run(settings, stop, 'c')",
    "agents": "from shadowbus.agents.agents import run_agents as run; run(settings, worker_id='b')",
}
SEGMENTS = ("DE", "FR", "PL")
NONE_YET: dict[str, Any] = {"totals": {"statuses": {}}}


class Flow:
    """One namespace: a plain producer of comparisons, worker processes, and a plain reader of what they publish."""

    def __init__(self, bootstrap: str, namespace: str, folder: Path) -> None:
        self.bootstrap, self.namespace, self.folder = bootstrap, namespace, folder
        (folder / "shadow.toml").write_text(
            f'namespace = "{namespace}"\npartitions = {PARTITIONS}\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
            "[gate]\nmin_requests = 100\nmax_error_rate = 0.5\n[aggregate]\npublish_seconds = 0.25\n"
        )
        create_topics(load_settings(folder / "shadow.toml"))
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        self.sent: list[dict[str, Any]] = []
        self.rng = random.Random(5)

    def send(self, count: int) -> None:
        """Produce random comparisons, and keep them."""
        for _ in range(count):
            record = self.comparison(len(self.sent))
            self.sent.append(record)
            self.put("comparisons", record["partition"], record)
        self.producer.flush(20)

    def comparison(self, number: int) -> dict[str, Any]:
        """A random one."""
        failed = self.rng.random() < 0.1
        side = {"model": "m@1", "prediction": 1, "scores": None, "latency_ms": self.rng.random() * 9, "error": None}
        return {
            "request_id": f"r{number}",
            "timestamp_ms": 1_700_000_000_000 + number,
            "trial": TRIAL,
            "status": "shadow_error" if failed else "compared",
            "live": side,
            "shadow": {**side, "error": "boom" if failed else None, "latency_ms": None},
            "agree": None if failed else self.rng.random() < 0.8,
            "distance": None,
            "segments": {"country": self.rng.choice(SEGMENTS)},
            "missing_features": [],
            "partition": self.rng.randrange(PARTITIONS),
        }

    def put(self, topic: str, partition: int, value: object, key: bytes = b"k") -> None:
        """Produce one record: bytes as they are, anything else as JSON."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.producer.produce(f"{self.namespace}.{topic}", raw, key, partition)

    def report_books(self) -> None:
        """Produce vitals as replay would: for each partition what was sent to it, all accounted for."""
        for partition in range(PARTITIONS):
            statuses = Counter(record["status"] for record in self.sent if record["partition"] == partition)
            page = {"read": statuses.total(), "duplicates": 0, "dead_lettered": 0, "waiting": 0}
            books = {"requests": page, "predictions": page, "comparisons": {TRIAL: statuses}}
            names = {"stage": "replay", "shadow": "new", "worker": "w", "partition": partition}
            self.put("vitals", partition, {**names, "timestamp_ms": 1, "books": books})
        self.producer.flush(20)

    def expected(self, segment: str) -> dict[str, Any]:
        """What has to be counted, from what was sent."""
        records = [r for r in self.sent if segment in ("all", f"country={r['segments']['country']}")]
        return {
            "statuses": dict(Counter(record["status"] for record in records)),
            "agreed": sum(record["agree"] is True for record in records),
            "disagreed": sum(record["agree"] is False for record in records),
            "first_ms": min(record["timestamp_ms"] for record in records),
            "last_ms": max(record["timestamp_ms"] for record in records),
        }

    @contextmanager
    def worker(self, stage: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process, ended at the end."""
        process = self.start(stage)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def start(self, stage: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker process; the caller ends it. It fails where `SHADOWBUS_FAULT` says (`failing_worker.py`)."""
        failing = "from failing_worker import fault_of, install; import os; install(fault_of(os.environ));"
        code = (
            f"{failing if 'SHADOWBUS_FAULT' in environment else ''}"
            "import logging, signal, threading; from pathlib import Path; from shadowbus.settings import load_settings;"
            f"logging.basicConfig(level='INFO'); settings = load_settings(Path('shadow.toml')); {RUN[stage]}"
        )
        with (self.folder / f"{stage}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment},
            )

    def newest(self, topic: str) -> dict[str, Any]:
        """The newest value of each key, as a committed reader sees the whole topic now."""
        return {key: values[-1] for key, values in self.history(topic).items()}

    def history(self, topic: str) -> dict[str, list[Any]]:
        """All values of each key."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{time.time_ns()}",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([f"{self.namespace}.{topic}"])
        found: dict[str, list[Any]] = {}
        ends: set[int | None] = set()
        while len(ends) < PARTITIONS:
            for message in consumer.consume(1000, 0.5):
                if message.error() is not None:
                    ends.add(message.partition())
                    continue
                key, value = message.key(), message.value()
                assert key is not None
                found.setdefault(key.decode(), []).append(None if value is None else json.loads(value))
        consumer.close()
        return found

    def vitals(self) -> list[dict[str, Any]]:
        """The newest vitals among the partials, one for each source partition."""
        return [value for key, value in self.newest("partials").items() if "|vitals|" in key]

    def until_counted(self) -> dict[str, Any]:
        """Wait until every segment's aggregate of the whole trial counts as many as were sent; all aggregates then."""
        segments = ("all", *(f"country={name}" for name in SEGMENTS))

        def counted() -> bool:
            aggregates = self.newest("aggregates")
            return all(
                sum(aggregates.get(f"{TRIAL}|{segment}|all", NONE_YET)["totals"]["statuses"].values())
                >= sum(self.expected(segment)["statuses"].values())
                for segment in segments
            )

        wait_for(counted)
        return self.newest("aggregates")


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        time.sleep(0.1)
