"""Runs one candidate as a process and watches its output topics from outside, the same way for each.

Speed is taken between the first tenth and the end of the output, so that starting up does not count. Processor time and
memory are those of the whole process tree; the output is read back, counted and checked for doubles.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil
from confluent_kafka import Consumer, TopicPartition

WARM = 0.1


@dataclass(frozen=True)
class Row:
    """One line of the results."""

    name: str
    pairs_per_s: float
    cpu_us_per_pair: float
    peak_mib: float
    guarantee: str
    pairs: int
    unique: int

    def record(self) -> dict[str, object]:
        """As it stands in results.json."""
        return asdict(self)


class Tree:
    """Processor time and peak memory of a process and all its children, sampled."""

    def __init__(self, pid: int) -> None:
        self.root, self.peak, self._over = psutil.Process(pid), 0.0, threading.Event()
        self._seen: dict[int, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """Processor seconds so far."""
        self._sample()
        return sum(self._seen.values())

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self._sample()

    def _sample(self) -> None:
        resident = 0
        try:
            for process in (self.root, *self.root.children(recursive=True)):
                try:
                    times = process.cpu_times()
                    self._seen[process.pid] = times.user + times.system
                    resident += process.memory_info().rss
                except psutil.Error:
                    continue
        except psutil.Error:
            return
        self.peak = max(self.peak, resident / 2**20)


def measure(
    name: str,
    command: Sequence[str],
    *,
    bootstrap: str,
    topics: Sequence[str],
    pairs: int,
    guarantee: str,
    seconds: float = 300,
) -> Row:
    """Run `command` until every output topic holds `pairs` records, then end it and check what it wrote."""
    watcher = _consumer(bootstrap)
    partitions = [
        TopicPartition(topic, p) for topic in topics for p in watcher.list_topics(topic, 10).topics[topic].partitions
    ]
    wanted, deadline = pairs * len(topics), time.monotonic() + seconds
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    tree = Tree(process.pid)
    warm: tuple[float, int, float] | None = None
    try:
        while True:
            done = sum(watcher.get_watermark_offsets(tp, timeout=10)[1] for tp in partitions)
            now = time.monotonic()
            if warm is None and done >= wanted * WARM:
                warm = (now, done, tree.seconds())
            if done >= wanted:
                break
            if now > deadline or process.poll() is not None:
                raise SystemExit(f"{name} wrote {done} of {wanted} records and gave up (exit {process.poll()})")
            time.sleep(0.02)
        cpu = tree.seconds()
    finally:
        tree.end()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        watcher.close()
    assert warm is not None
    share = (wanted - warm[1]) / len(topics)
    unique = _unique(bootstrap, topics[0], pairs)
    return Row(name, share / (now - warm[0]), (cpu - warm[2]) / share * 1e6, tree.peak, guarantee, pairs, unique)


def _consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{time.time_ns()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )


def _unique(bootstrap: str, topic: str, pairs: int) -> int:
    """How many different keys the topic holds; a double is an error."""
    consumer = _consumer(bootstrap)
    consumer.subscribe([topic])
    keys: set[bytes | None] = set()
    count, deadline = 0, time.monotonic() + 120
    while count < pairs and time.monotonic() < deadline:
        for message in consumer.consume(10_000, 0.5):
            if message.error() is None:
                count += 1
                keys.add(message.key())
    consumer.close()
    if count != len(keys):
        raise SystemExit(f"{topic} holds {count} records but only {len(keys)} different keys")
    return len(keys)
