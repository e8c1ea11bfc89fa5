"""What capture costs the thread that serves: one `with tap.request(...)` block, with Kafka up, away, or hanging.

A busy service is played: it computes between two requests (holding Python's lock, as pure Python models do), so that
capture's listening thread has to compete for it. The figures are the whole block (two records: the request and its
prediction) around a model that costs nothing; `nothing` is an empty `with` block, the price of measuring itself.
`cpu` is processor time of the serving thread alone, back to back, which a loaded machine inflates least.

    python benchmarks/capture.py [--requests 20000] [--rate 4000] [--json]
"""

import argparse
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shadowbus.capture import Tap
from shadowbus.clock import perf_ns
from shadowbus.kafka.embedded import EmbeddedKafka

FEATURES = {f"feature_{number}": number * 1.2345 for number in range(10)} | {"country": "DE", "plan": "basic"}
SEGMENTS = {"country": "DE"}
NOWHERE = "127.0.0.1:1"
Serve = Callable[[], None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=20_000)
    options.add_argument("--rate", type=int, default=4_000, help="requests per second of the service")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    rows = list(measure(chosen.requests, chosen.rate))
    print(json.dumps({"requests": chosen.requests, "rate": chosen.rate, "rows": rows}) if chosen.json else table(rows))


def measure(requests: int, rate: int) -> Iterator[dict[str, Any]]:
    """One row for each state of the broker."""
    yield {"kafka": "nothing", **figures(serve_untapped, requests, rate), "lost": 0}
    with EmbeddedKafka() as kafka:
        yield tapped("up", kafka.bootstrap, requests, rate)
        yield tapped("hanging", kafka.bootstrap, requests, rate, freeze=kafka)
    yield tapped("away", NOWHERE, requests, rate)


def tapped(state: str, bootstrap: str, requests: int, rate: int, freeze: EmbeddedKafka | None = None) -> dict[str, Any]:
    """Serve with a tap; `lost` is what was dropped while serving, before the tap was closed."""
    namespace = f"bench{uuid.uuid4().hex[:8]}"
    if bootstrap != NOWHERE:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        names = [f"{namespace}.{name}" for name in ("requests", "predictions")]
        for future in admin.create_topics([NewTopic(name, 4, 1) for name in names]).values():
            future.result(30)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@1")
    serve = server(tap)
    timings(serve, rate // 4, rate)
    if freeze is not None:
        freeze.pause_node(1)
    try:
        found = figures(serve, requests, rate)
        lost = tap.counters().lost
    finally:
        if freeze is not None:
            freeze.resume_node(1)
    tap.close(10 if bootstrap != NOWHERE else 0)
    return {"kafka": state, **found, "lost": lost}


def server(tap: Tap) -> Serve:
    """A service whose model costs nothing."""

    def serve() -> None:
        with tap.request(FEATURES, segments=SEGMENTS) as call:
            call.prediction = "stay"
            call.scores = {"stay": 0.75, "churn": 0.25}

    return serve


def serve_untapped() -> None:
    with contextlib.nullcontext():
        pass


def timings(serve: Serve, requests: int, rate: int) -> list[int]:
    """Nanoseconds of each call, at a steady rate, computing in between."""
    taken, gap = [], 1_000_000_000 // rate
    due = perf_ns()
    for _ in range(requests):
        due += gap
        while (began := perf_ns()) < due:
            pass
        serve()
        taken.append(perf_ns() - began)
    return taken


def figures(serve: Serve, requests: int, rate: int) -> dict[str, float]:
    """Latencies at a steady rate, and processor time back to back: the best of five runs."""
    latencies = spread(timings(serve, requests, rate))
    runs, each = [], max(1, requests // 20)
    for _ in range(5):
        began = time.thread_time_ns()
        for _ in range(each):
            serve()
        runs.append((time.thread_time_ns() - began) / each / 1_000)
    return {"cpu_us": min(runs), **latencies}


def spread(taken: list[int]) -> dict[str, float]:
    """Mean and quantiles in microseconds."""
    ordered = sorted(taken)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    quantiles = {name: ordered[int(share * len(ordered))] / 1_000 for name, share in at.items()}
    return {"mean_us": sum(taken) / len(taken) / 1_000, **{f"{name}_us": value for name, value in quantiles.items()}}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| Kafka | cpu µs | mean µs | p50 µs | p99 µs | p99.9 µs | lost |", "|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        shown = (f"{row[name]:.1f}" for name in ("cpu_us", "mean_us", "p50_us", "p99_us", "p999_us"))
        lines.append(f"| {row['kafka']} | {' | '.join(shown)} | {row['lost']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
