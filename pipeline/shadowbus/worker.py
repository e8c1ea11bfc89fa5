"""Runs a stage as a worker: the exactly-once loop, with its numbers on `/metrics` and `/healthz`.

The loop in `kafka/` knows no exporter, and the exporter knows no Kafka; they meet here.
"""

import threading

from shadowbus.exporter.meter import Meter
from shadowbus.exporter.serve import exported
from shadowbus.exporter.trials import Trials
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.loop import run
from shadowbus.kafka.worker.takeover import GIVE_UP_SECONDS
from shadowbus.settings import Settings


def run_worker(
    job: Job, settings: Settings, stop: threading.Event, worker_id: str = "", trials: Trials | None = None
) -> None:
    """Run a stage until `stop` is set, and serve its metrics.

    Args:
        job: What to run.
        settings: How to reach Kafka, and the worker's settings.
        stop: Set it to end after a last commit.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.
        trials: What the stage publishes of trials, if it does.

    Raises:
        BrokerError: A topic or a right is missing, Kafka refuses what the settings ask for, or restarts lead to
            nothing: a person has to act.
        StateCorruptError: The state contradicts itself.
        TooLarge: The stage made a record that its topic does not take.
    """
    meter = Meter(job.name, job.shadow, worker_id)
    longest_turn_s = GIVE_UP_SECONDS + settings.worker.operation_seconds
    with exported(settings.metrics, meter, trials, longest_turn_s):
        run(job, settings, stop, worker_id, meter)
