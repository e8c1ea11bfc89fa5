"""`/metrics` over HTTP, in threads of its own. A port that is taken is told, and stops nobody."""

import contextlib
import logging
from collections.abc import Iterator

from shadowbus.exporter.meter import Meter
from shadowbus.exporter.trials import Trials
from shadowbus.settings import MetricsSettings

logger = logging.getLogger("shadowbus.metrics")


@contextlib.contextmanager
def exported(settings: MetricsSettings, meter: Meter, trials: Trials | None = None) -> Iterator[bool]:
    """Serve these numbers while the body runs; whether they are served.

    Args:
        settings: Where; port 0 serves nothing, and imports nothing.
        meter: What a worker has done.
        trials: What the agents have published.
    """
    if not settings.port:
        yield False
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    from shadowbus.exporter.trial import TrialCollector
    from shadowbus.exporter.worker import WorkerCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(WorkerCollector(meter))
    if trials is not None:
        registry.register(TrialCollector(trials))
    try:
        server, thread = start_http_server(settings.port, settings.host, registry)
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
    try:
        yield True
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
