"""Runs the judge as a worker."""

import threading

from shadowbus.compare import Comparators, make_comparator
from shadowbus.judge.stage import JudgeStage
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.topology import COMPARISONS, JUDGE, JUDGE_BOOKS, LABELS
from shadowbus.worker import run_worker


def run_judge(settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Judge until `stop` is set.

    Raises:
        SettingsError: A shadow's task is unknown.
        BrokerError: A topic or a right is missing.
    """
    # A shadow that is no longer in the settings may still have comparisons: they are judged as a classification.
    comparators = Comparators({shadow.name: make_comparator(shadow.task, shadow.options) for shadow in settings.shadow})

    def open_stage(held: frozenset[int]) -> JudgeStage:
        return JudgeStage(
            held,
            settings=settings,
            comparators=comparators,
            folder=settings.state_dir / "judge",
            worker=worker_id or "judge",
        )

    job = Job(
        name="judge",
        inputs=(COMPARISONS, LABELS),
        outputs=JUDGE.outputs,
        changelog=JUDGE_BOOKS,
        open_stage=open_stage,
    )
    run_worker(job, settings, stop, worker_id)
