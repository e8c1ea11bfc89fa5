"""What a tap costs the clients of real servers: how long they wait without a tap, with one, with one without Kafka.

Each server runs one process of `tapped_service.py`. Two clients ask at the same time, each over one connection and one
request after another, with a pause in between, as most services have: in a pause whatever blocks an event loop blocks
the next request too.

    python benchmarks/servers.py [--requests 500] [--json]
"""

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shadowbus.broker.cluster import EmbeddedKafka

HERE = Path(__file__).parent
NOWHERE = "127.0.0.1:1"
CLIENTS = 2
PAUSE_SECONDS = 0.005
START_SECONDS = 60.0

GUNICORN = ("-m", "gunicorn", "--workers", "1", "--log-level", "error", "--bind", "127.0.0.1:{port}")
UVICORN = ("-m", "uvicorn", "tapped_service:asgi", "--log-level", "error", "--port", "{port}")
EVENTLET = "import eventlet; eventlet.monkey_patch(); import tapped_service; tapped_service.serve_with_eventlet({port})"
SERVERS: dict[str, tuple[str, ...]] = {
    "gunicorn sync": (*GUNICORN, "-k", "sync", "tapped_service:wsgi"),
    "gunicorn gthread": (*GUNICORN, "-k", "gthread", "--threads", "4", "tapped_service:wsgi"),
    "gunicorn gevent": (*GUNICORN, "-k", "gevent", "tapped_service:wsgi"),
    "gunicorn gevent, preloaded": (*GUNICORN, "-k", "gevent", "--preload", "tapped_service:wsgi"),
    "gunicorn asgi": (*GUNICORN, "-k", "asgi", "tapped_service:asgi"),
    "eventlet": ("-W", "ignore", "-c", EVENTLET),
    "uvicorn asyncio": (*UVICORN, "--loop", "asyncio"),
    "uvicorn uvloop": (*UVICORN, "--loop", "uvloop"),
}
"""By name, what Python is given to serve with."""


class Service:
    """One server with one process, up until the block ends."""

    def __init__(self, server: str, kafka: str, namespace: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        paths = os.pathsep.join([str(HERE.parent / "pipeline"), str(HERE)])
        environment = {**os.environ, "TAP": kafka, "NAMESPACE": namespace, "PYTHONPATH": paths}
        command = [sys.executable, *(part.replace("{port}", str(self.port)) for part in SERVERS[server])]
        self._process = subprocess.Popen(command, cwd=HERE, env=environment, stderr=subprocess.DEVNULL)

    def __enter__(self) -> "Service":
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.counters()
                return self
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError(f"the server did not start (exit code {self._process.returncode})")
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()

    def counters(self) -> dict[str, int]:
        """What the tap of the process that serves has counted; empty without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/counters")
            found: dict[str, int] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def ask(self, requests: int) -> list[float]:
        """Milliseconds each of the requests took, shortest first."""
        took: list[float] = []
        clients = [threading.Thread(target=self._client, args=(requests // CLIENTS, took)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(took) == requests // CLIENTS * CLIENTS
        return sorted(took)

    def _client(self, requests: int, took: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for number in range(requests):
            began = time.perf_counter()
            connection.request("POST", "/predict", json.dumps({"x": number}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            took.append((time.perf_counter() - began) * 1e3)
            assert (answer.status, body) == (200, {"prediction": number > 0})
            time.sleep(PAUSE_SECONDS)
        connection.close()


def measured(server: str, kafka: str, namespace: str, requests: int) -> dict[str, float]:
    """Quantiles of the clients' waits, in milliseconds, after a round that warms up."""
    with Service(server, kafka, namespace) as service:
        service.ask(requests // 5)
        took = service.ask(requests)
    return {f"p{share}": took[len(took) * share // 100] for share in (50, 90, 99)}


def topics(bootstrap: str) -> str:
    """A new namespace with the topics of a tap."""
    namespace = f"servers{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    names = [NewTopic(f"{namespace}.{name}", 1, 1) for name in ("requests", "predictions", "labels")]
    for future in admin.create_topics(names).values():
        future.result(30)
    return namespace


def rows(requests: int, say: Callable[[str], object]) -> Iterator[dict[str, Any]]:
    """Each server without a tap, with one, and with one that has no Kafka."""
    with EmbeddedKafka() as kafka:
        for server in SERVERS:
            say(server)
            for tap, address in (("none", ""), ("Kafka up", kafka.bootstrap), ("Kafka away", NOWHERE)):
                yield {"server": server, "tap": tap, **measured(server, address, topics(kafka.bootstrap), requests)}


def table(found: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table: a line for each server, p50 / p90 / p99 for each state."""
    states = list(dict.fromkeys(row["tap"] for row in found))
    lines = [f"| server | {' | '.join(f'tap: {state}' for state in states)} |", "|---|" + "---:|" * len(states)]
    for server in dict.fromkeys(row["server"] for row in found):
        cells = [
            " / ".join(f"{row[name]:.1f}" for name in ("p50", "p90", "p99")) for row in found if row["server"] == server
        ]
        lines.append(f"| {server} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=500)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = list(rows(chosen.requests, lambda text: print(text, file=sys.stderr)))
    print(json.dumps({"requests": chosen.requests, "rows": found}) if chosen.json else table(found))


if __name__ == "__main__":
    main()
