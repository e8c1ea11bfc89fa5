"""A worker's meter as Prometheus reads it."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from shadowbus.errors import Malformed
from shadowbus.exporter.families import Sample, families, histogram, numbers
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.metrics import COMMIT_BUCKETS, OF_WORKERS
from shadowbus.records import Vitals, decode

NOT_READ = ("next_offset",)
"""What stands in the books and counts no records."""


class WorkerCollector(Collector):
    """Reads a meter whenever it is asked to."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def collect(self) -> Iterable[Family]:
        """All of the worker's metrics."""
        meter = self.meter
        who = meter.stage, meter.shadow
        yield from families((*_counted(meter, who), *_reported(meter, who)), OF_WORKERS)
        yield histogram("shadowbus_commit_seconds", who, COMMIT_BUCKETS, list(meter.commits), meter.commit_seconds)


def _counted(meter: Meter, who: tuple[str, str]) -> Iterator[Sample]:
    yield "shadowbus_worker_info", (*who, meter.worker, version("shadowbus")), 1.0
    for topic, count in dict(meter.read).items():
        yield "shadowbus_records_read_total", (*who, topic), count
    for topic, count in dict(meter.written).items():
        yield "shadowbus_records_written_total", (*who, topic), count
    for (topic, partition), lag in dict(meter.lags).items():
        yield "shadowbus_lag_records", (*who, topic, str(partition)), lag
    yield "shadowbus_batches_total", who, meter.batches
    yield "shadowbus_dead_letters_total", who, meter.written.get("dead-letters", 0)
    yield "shadowbus_last_commit_timestamp_seconds", who, meter.last_commit_ms / 1000
    if meter.stage == "agents":
        yield "shadowbus_unpublished_since_timestamp_seconds", who, meter.unpublished_ms / 1000
    yield "shadowbus_began_again_total", who, meter.began_again
    yield "shadowbus_partitions_held", who, meter.held


def _reported(meter: Meter, who: tuple[str, str]) -> Iterator[Sample]:
    """What the newest vitals say: the books summed over partitions; the model is the same in all of them."""
    records = [record for value in dict(meter.vitals).values() if (record := _read(value)) is not None]
    if not records:
        return
    sums: dict[tuple[str, str], int] = {}
    for record in records:
        for topic, page in record.books.items():
            for entry, count in page.items() if isinstance(page, dict) else ():
                if isinstance(count, int) and entry not in NOT_READ:
                    sums[topic, entry] = sums.get((topic, entry), 0) + count
    for (topic, entry), count in sums.items():
        yield "shadowbus_books_records", (*who, topic, entry), count
    shares = [record.share for record in records if record.share is not None]
    if shares:
        yield "shadowbus_replay_share", who, min(shares)
    newest = max(records, key=lambda record: record.timestamp_ms)
    if newest.model:
        yield from _model(newest.model, who)


def _model(model: dict[str, Any], who: tuple[str, str]) -> Iterator[Sample]:
    for kind, count in model.get("deaths", {}).items():
        yield "shadowbus_model_restarts_total", (*who, kind), count
    for way, count in model.get("detours", {}).items():
        yield "shadowbus_model_detours_total", (*who, way), count
    yield from numbers(
        who,
        {
            "shadowbus_model_rows_total": model.get("rows"),
            "shadowbus_model_batches_total": model.get("batches"),
            "shadowbus_model_loads_total": model.get("loads"),
            "shadowbus_model_given_up": bool(model["given_up"]) if "given_up" in model else None,
            "shadowbus_model_network_missed_total": model.get("network_missed"),
            "shadowbus_model_isolated": model["network"] == "off" if "network" in model else None,
            "shadowbus_model_cpu_seconds_total": model.get("cpu_s"),
            "shadowbus_model_resident_bytes": model.get("resident_bytes"),
            "shadowbus_model_circuit_open": model.get("circuit") == "open" if "circuit" in model else None,
            "shadowbus_model_circuit_opened_total": model.get("circuit_opened"),
        },
    )


def _read(value: bytes) -> Vitals | None:
    try:
        return decode(Vitals, value)
    except Malformed:
        return None
