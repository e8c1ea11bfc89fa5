"""Runs the decide stage as a worker."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

from shadowbus import topology
from shadowbus.clock import now_ms
from shadowbus.decide.claims import Real
from shadowbus.decide.stage import DecideStage
from shadowbus.exporter.trials import Trials
from shadowbus.kafka.read.ends import Ends
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.topology import DECIDE, PARTIALS, VERDICTS
from shadowbus.worker import run_worker

ASK_SECONDS = 5.0
"""How long Kafka may take to say where the topics end."""


def run_decide(settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Decide until `stop` is set; each commit publishes the verdicts that changed.

    Raises:
        BrokerError: A topic or a right is missing.
    """
    commit_ms = max(1, round(settings.aggregate.publish_seconds * 1000))
    paced = dataclasses.replace(settings, worker=dataclasses.replace(settings.worker, commit_ms=commit_ms))
    ends = Ends(settings, [topic for topic in topology.TOPICS if topic.name in topology.DECIDE.measures])
    trials = Trials()

    def open_stage(held: frozenset[int]) -> DecideStage:
        trials.forget()
        real = Real(ends.look(ASK_SECONDS), now_ms())
        return DecideStage(
            held,
            settings,
            real,
            lambda: asking.submit(ends.look, ASK_SECONDS),
            show=lambda key, value: trials.take(VERDICTS.name, key, value),
        )

    job = Job(
        name="decide",
        inputs=(PARTIALS,),
        outputs=DECIDE.outputs,
        changelog=VERDICTS,
        open_stage=open_stage,
    )
    with ThreadPoolExecutor(1, "ends") as asking:
        run_worker(job, paced, stop, worker_id, trials)
