"""Runs the rekey stage as a worker."""

import threading

from shadowbus.errors import SettingsError
from shadowbus.kafka.worker.job import Job
from shadowbus.rekey.stage import SOURCE, RekeyStage
from shadowbus.settings import Settings
from shadowbus.topology import DEAD_LETTERS, LABELS, PREDICTIONS, REQUESTS, Topic
from shadowbus.worker import run_worker

TARGETS = (REQUESTS, PREDICTIONS, LABELS)


def run_rekey(settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Re-key until `stop` is set.

    Raises:
        SettingsError: `[rekey]` names no topic.
        BrokerError: A topic or a right is missing.
    """
    if not settings.rekey.sources:
        raise SettingsError(f"{settings.source} names no topic in [rekey], so there is nothing to re-key.")
    job = Job(
        name="rekey",
        inputs=tuple(
            Topic(f"{SOURCE}{target}", f"{target}, keyed otherwise", elsewhere=name)
            for target, name in settings.rekey.sources.items()
        ),
        outputs=(
            *(topic for topic in TARGETS if topic.name in settings.rekey.sources),
            DEAD_LETTERS,
        ),
        open_stage=lambda _: RekeyStage(settings),
    )
    run_worker(job, settings, stop, worker_id)
