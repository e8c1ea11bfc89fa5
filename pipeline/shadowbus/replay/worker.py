"""Runs the replay stage of one shadow as a worker."""

import logging
import threading

from shadowbus.clock import Deadline
from shadowbus.compare import make_comparator
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.subscribe import follow
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.kafka.worker.job import Job
from shadowbus.models.configured import cutoff_of, with_live
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.partition import ANEW
from shadowbus.replay.single_row_share import SingleRowShare
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings
from shadowbus.topology import PREDICTIONS, REPLAY, REPLAY_CHANGELOG, REQUESTS, VERDICTS
from shadowbus.worker import run_worker

PATIENCE_SHARE = 0.6
"""The share of a transaction's timeout that a bad model may take in vain: what was begun has to end too."""

FOLLOWED_SECONDS = 15.0
"""How long Kafka may take to say where the verdicts topic ends; and how long its reader may take to end."""

logger = logging.getLogger("shadowbus.replay")


def run_replay(settings: Settings, shadow_name: str, stop: threading.Event, worker_id: str = "") -> None:
    """Replay for one shadow until `stop` is set.

    Raises:
        SettingsError: There is no such shadow, or its task is unknown.
        BundleError: Its bundle cannot be trusted or loaded.
        BrokerError: A topic or a right is missing.
    """
    shadow = settings.shadow_named(shadow_name)
    comparator = make_comparator(shadow.task, shadow.options)
    patience = PATIENCE_SHARE * settings.worker.transaction_timeout_ms / 1000

    def open_stage(held: frozenset[int]) -> ReplayStage:
        return ReplayStage(
            held,
            settings=settings,
            shadow=shadow,
            model=model,
            comparator=comparator,
            worker=worker_id or "replay",
            cutoff=cutoff,
        )

    job = Job(
        name="replay",
        shadow=shadow.name,
        inputs=(REQUESTS, PREDICTIONS),
        outputs=REPLAY.outputs,
        changelog=REPLAY_CHANGELOG,
        open_stage=open_stage,
        anew=ANEW,
    )
    needed = {**job.topic_names(settings.namespace), VERDICTS.name: VERDICTS.full_name(settings.namespace)}
    require_topics(make_admin(settings), needed)  # before the model, which takes seconds
    model = ModelProcess(shadow, settings.model_path(shadow), settings.replay.single_row_share, patience)
    cutoff = with_live(cutoff_of(settings.model_path(shadow)), settings)
    ended = threading.Event()
    attention = SingleRowShare(shadow, settings.replay.single_row_share)
    following = threading.Thread(target=_attend, args=(settings, attention, model, ended), daemon=True)
    following.start()
    try:
        run_worker(job, settings, stop, worker_id)
    finally:
        ended.set()
        model.close()
        following.join(FOLLOWED_SECONDS)


def _attend(settings: Settings, attention: SingleRowShare, model: ModelProcess, ended: threading.Event) -> None:
    """Let the model be asked as many single rows as verdicts wait for."""
    try:
        for value in follow(settings, VERDICTS, ended, Deadline.after(FOLLOWED_SECONDS), from_beginning=True):
            if attention.take(value) and attention.share != model.share:
                model.share = attention.share
                logger.info("%s: single rows may take %.2g of its idle time", model.model, model.share)
    except BrokerError as error:
        logger.warning("what verdicts wait for cannot be followed, so the share of single rows stays: %s", error)
