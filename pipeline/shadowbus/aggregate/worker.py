"""Runs the aggregate stage as a worker."""

import dataclasses
import threading

from shadowbus.aggregate.stage import AggregateStage
from shadowbus.clock import now_ms
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.topology import AGGREGATE, COMPARISONS, OUTCOMES, PARTIALS, VITALS
from shadowbus.worker import run_worker


def run_aggregate(settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Aggregate until `stop` is set; each commit publishes every total that changed.

    Raises:
        BrokerError: A topic or a right is missing.
    """
    commit_ms = max(1, round(settings.aggregate.publish_seconds * 1000))
    paced = dataclasses.replace(settings, worker=dataclasses.replace(settings.worker, commit_ms=commit_ms))
    spoiled, since_ms = set[int](), now_ms()
    job = Job(
        name="aggregate",
        inputs=(COMPARISONS, OUTCOMES, VITALS),
        outputs=AGGREGATE.outputs,
        changelog=PARTIALS,
        changelog_whole=True,
        open_stage=lambda held: AggregateStage(held, settings, spoiled, since_ms),
    )
    run_worker(job, paced, stop, worker_id)
