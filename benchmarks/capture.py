"""What capture costs the thread that serves: one `with tap.request(...)` block, with Kafka up, away, or hanging.

The figures are the whole block (two records: the request and its prediction) around a model that costs nothing. A busy
service is played at a steady rate; while it waits it computes, holding Python's lock as pure Python models do, so that
capture's listening thread has to compete for it. Requests come in bursts (the code is in the processor's caches) or one
by one (it is not: then everything is slower, also what has nothing to do with capture). Two yardsticks say how much of
that is the machine: an empty `with` block, and orjson alone writing the same features once. `CPU` is the processor time
of the calling thread, which what else runs on the machine changes little.

    python benchmarks/capture.py [--requests 20000] [--rate 4000] [--json]
"""

import argparse
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.capture import Tap
from shadowbus.clock import perf_ns

FEATURES = {f"feature_{number}": number * 1.2345 for number in range(10)} | {"country": "DE", "plan": "basic"}
SEGMENTS = {"country": "DE"}
NOWHERE = "127.0.0.1:1"
BURSTS = (500, 1)
Serve = Callable[[], None]


class Timings(NamedTuple):
    """Nanoseconds that each call took, and the processor time that the calling thread spent on all of them."""

    taken_ns: list[int]
    worked_ns: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=20_000)
    options.add_argument("--rate", type=int, default=4_000, help="requests per second of the service")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    rows = [row for burst in BURSTS for row in measure(chosen.requests, chosen.rate, burst)]
    print(json.dumps({"requests": chosen.requests, "rate": chosen.rate, "rows": rows}) if chosen.json else table(rows))


def measure(requests: int, rate: int, burst: int) -> Iterator[dict[str, Any]]:
    """One row for each state of the broker, after the two yardsticks."""
    for name, serve in (("(empty block)", serve_untapped), ("(orjson alone)", only_write)):
        yield {"kafka": name, "burst": burst, **spread(timings(serve, requests, rate, burst)), "lost": 0}
    with EmbeddedKafka() as kafka:
        yield tapped("up", kafka.bootstrap, requests, rate, burst)
        yield tapped("hanging", kafka.bootstrap, requests, rate, burst, freeze=kafka)
    yield tapped("away", NOWHERE, requests, rate, burst)


def tapped(
    state: str, bootstrap: str, requests: int, rate: int, burst: int, freeze: EmbeddedKafka | None = None
) -> dict[str, Any]:
    """Serve with a tap; `lost` is what was dropped while serving, before the tap was closed."""
    namespace = f"bench{uuid.uuid4().hex[:8]}"
    if bootstrap != NOWHERE:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        names = [f"{namespace}.{name}" for name in ("requests", "predictions")]
        for future in admin.create_topics([NewTopic(name, 4, 1) for name in names]).values():
            future.result(30)
    tap = Tap(namespace, {"bootstrap.servers": bootstrap}, model="champion@1")
    serve = server(tap)
    timings(serve, rate // 4, rate, burst)
    if freeze is not None:
        freeze.pause_node(1)
    try:
        found = spread(timings(serve, requests, rate, burst))
        lost = tap.counters().lost
    finally:
        if freeze is not None:
            freeze.resume_node(1)
    tap.close(10 if bootstrap != NOWHERE else 0)
    return {"kafka": state, "burst": burst, **found, "lost": lost}


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


def only_write() -> None:
    orjson.dumps(FEATURES)


def timings(serve: Serve, requests: int, rate: int, burst: int) -> Timings:
    """Each call, at a steady rate, computing between the bursts."""
    taken, worked, gap = [], 0, burst * 1_000_000_000 // rate
    due = perf_ns()
    for _ in range(requests // burst):
        due += gap
        while perf_ns() < due:
            pass
        working = time.thread_time_ns()
        for _ in range(burst):
            began = perf_ns()
            serve()
            taken.append(perf_ns() - began)
        worked += time.thread_time_ns() - working
    return Timings(taken, worked)


def spread(found: Timings) -> dict[str, float]:
    """Mean, quantiles and processor time in microseconds."""
    taken, ordered = found.taken_ns, sorted(found.taken_ns)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    quantiles = {name: ordered[int(share * len(ordered))] / 1_000 for name, share in at.items()}
    means = {"cpu_us": found.worked_ns / len(taken) / 1_000, "mean_us": sum(taken) / len(taken) / 1_000}
    return {**means, **{f"{name}_us": value for name, value in quantiles.items()}}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| Kafka | requests come | CPU µs | mean µs | p50 µs | p99 µs | p99.9 µs | lost |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shown = (f"{row[name]:.1f}" for name in ("cpu_us", "mean_us", "p50_us", "p99_us", "p999_us"))
        come = "one by one" if row["burst"] == 1 else f"in bursts of {row['burst']}"
        lines.append(f"| {row['kafka']} | {come} | {' | '.join(shown)} | {row['lost']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
