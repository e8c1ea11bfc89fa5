"""`/metrics` and `/healthz` over HTTP, in threads of its own. A port that is taken is told, and stops nobody."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from shadowbus.clock import monotonic
from shadowbus.exporter.health import health
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.trials import Trials
from shadowbus.settings import MetricsSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("shadowbus.exporter.metrics")

PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def exported(
    settings: MetricsSettings, meter: Meter, trials: Trials | None = None, patience: float = PATIENCE_SECONDS
) -> Iterator[bool]:
    """Serve these numbers while the body runs; whether they are served.

    Args:
        settings: Where; port 0 serves nothing, and imports nothing.
        meter: What a worker has done.
        trials: What was published of trials.
        patience: How many seconds one turn of the worker's loop may take before it counts as stuck.
    """
    if not settings.port:
        yield False
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

    from shadowbus.exporter.trial import TrialCollector
    from shadowbus.exporter.worker import WorkerCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(WorkerCollector(meter))
    if trials is not None:
        registry.register(TrialCollector(trials))
    try:
        server = _server(settings, _with_health(make_wsgi_app(registry), meter, patience))
    except OSError as error:
        logger.warning(
            "no metrics: %s:%d cannot be opened (%s). The worker goes on; give it a port of its own with "
            "--metrics-port, or 0 for none.",
            settings.host,
            settings.port,
            error.strerror or error,
        )
        yield False
        return
    logger.info("metrics at http://%s:%d/metrics", settings.host, settings.port)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_health(metrics: "WSGIApplication", meter: Meter, patience: float) -> "WSGIApplication":
    began = monotonic()

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        well, body = health(meter, began, monotonic(), patience)
        start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [body]

    return answer


def _server(settings: MetricsSettings, app: "WSGIApplication") -> WSGIServer:
    from prometheus_client.exposition import ThreadingWSGIServer

    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET

    return make_server(settings.host, settings.port, app, Server, handler_class=_Silent)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: each look would be a line."""
