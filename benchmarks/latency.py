"""How long a comparison takes: from the moment its live prediction is produced to the moment a reader gets it.

One process produces and reads, so that one clock is enough. The reader sees committed records only. What the figures
hold besides shadowbus: the producer's own 20 ms of batching, the broker, and up to 5 ms in which the reader gathers.
"""

import sys
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from bench import Bench
from confluent_kafka import Consumer
from outputs import committed_reader
from processes import CandidateFailedError, last_words, say, started
from stream import SHADOW, Stream, open_stream
from workload import make_producer, pairs_of, send

LOW_RATE = 500
WARM_S = 5.0
PATIENCE_S = 60.0


@dataclass
class _Arrivals:
    """Reads comparisons in a thread, and notes when each batch came."""

    consumer: Consumer
    batches: list[tuple[float, list[bytes]]] = field(default_factory=list)
    count: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        while not self.over.is_set():
            messages = self.consumer.consume(10_000, 0.005)
            now = time.monotonic()
            keys = [message.key() or b"" for message in messages if message.error() is None]
            if keys:
                self.batches.append((now, keys))
                self.count += len(keys)
        self.consumer.close()

    def wait_for(self, count: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.count < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.count >= count


def latency(bench: Bench, full_rate: float, seconds: float) -> list[dict[str, object]]:
    """Percentiles at half of the full rate, and at a low one.

    Args:
        bench: Where.
        full_rate: What shadowbus did in the same run, in pairs/s.
        seconds: How long to measure, after a warm-up.
    """
    return [_at(bench, rate, seconds) for rate in (full_rate / 2, min(LOW_RATE, full_rate / 2))]


def _at(bench: Bench, rate: float, seconds: float) -> dict[str, object]:
    say(f"latency at {rate:,.0f} pairs/s")
    stream = open_stream(bench.bootstrap, bench.name("latency"), bench.bundle)
    log = bench.folder / f"{stream.namespace}.log"
    command = [sys.executable, "-m", "shadowbus", "--config", str(stream.config), "replay", "--shadow", SHADOW]
    consumer = committed_reader(bench.bootstrap, **{"fetch.wait.max.ms": 10})
    consumer.subscribe([stream.topic("comparisons")])
    arrivals = _Arrivals(consumer)
    reader = threading.Thread(target=arrivals.read, daemon=True)
    reader.start()
    try:
        with started([command], log):
            sent_at = _send(stream, rate, WARM_S + seconds, arrivals)
            if not arrivals.wait_for(len(sent_at), PATIENCE_S):
                raise CandidateFailedError(f"{arrivals.count} of {len(sent_at)} comparisons came. {last_words(log)}")
    finally:
        arrivals.over.set()
        reader.join()
    figures = _figures(sent_at, arrivals, rate)
    figures["bytes_per_pair"] = bench.stored_bytes(stream, len(sent_at))
    stream.delete()
    say(f"    p50 {figures['p50_ms']} ms, p99 {figures['p99_ms']} ms")
    return figures


def _send(stream: Stream, rate: float, seconds: float, arrivals: _Arrivals) -> list[float]:
    """Produce at a steady rate, the first pair alone until its comparison is there; when each prediction was sent."""
    producer = make_producer(stream.bootstrap, **{"linger.ms": 20})
    requests, predictions = stream.topic("requests"), stream.topic("predictions")
    total = int(rate * seconds) + 1
    sent_at: list[float] = []
    start = 0.0
    ready = list(pairs_of(range(total)))  # made before, not while the two cores are measured
    for key, request, prediction in ready:
        while sent_at and time.monotonic() < start + len(sent_at) / rate:
            producer.poll(0)
            time.sleep(0.002)
        send(producer, requests, key, request)
        sent_at.append(time.monotonic())
        send(producer, predictions, key, prediction)
        if len(sent_at) == 1:
            producer.flush()
            if not arrivals.wait_for(1, PATIENCE_S):
                raise CandidateFailedError("The first comparison did not come.")
            start = time.monotonic()
    producer.flush()
    return sent_at


def _figures(sent_at: list[float], arrivals: _Arrivals, rate: float) -> dict[str, object]:
    """Percentiles of all pairs that were sent after the warm-up."""
    took = np.full(len(sent_at), np.nan)
    for at, keys in arrivals.batches:
        numbers = [int(key[:12]) for key in keys]
        took[numbers] = at - np.array(sent_at)[numbers]
    after = np.array(sent_at) >= sent_at[1] + WARM_S
    milliseconds = took[after] * 1000
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {
        "wanted_pairs_per_s": round(rate),
        "pairs_per_s": round((len(sent_at) - 1) / (sent_at[-1] - sent_at[1])),
        "pairs": len(milliseconds),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "max_ms": round(float(milliseconds.max()), 1),
    }
