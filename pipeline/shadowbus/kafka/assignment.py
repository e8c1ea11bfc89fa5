"""Step 1 of the loop, once the group has met: where to go on in each input, and the stage with its state up to there.

In: the partitions assigned to this worker. Out: a starting offset for each, and a restored stage. Guaranteed: both are
those of the last commit; nothing of an open transaction is taken for committed, and none is overlooked; offsets and
state that do not belong to these topics, or contradict each other, are an error, never a beginning.
"""

import functools
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import StateCorruptError
from shadowbus.kafka.changelog import end_offsets, read_back
from shadowbus.kafka.complaints import again
from shadowbus.kafka.fault_points import Reached
from shadowbus.kafka.job import Job
from shadowbus.kafka.owners import topic_id_of
from shadowbus.kafka.topic_ids import topic_ids
from shadowbus.settings import Settings
from shadowbus.stage import Input, Slice, Stage

logger = logging.getLogger("shadowbus.exactly_once")

RESTORE_SECONDS = 120.0
SETTLE_SECONDS = 10.0
"""How long a new leader may take to know where its partition ends."""

PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the last commit left the inputs of one assignment.

    `starts` is where to go on; `lost` how many records before that Kafka deleted unread, where any; `ids` are those of
    the topics, by their names in the topology.
    """

    starts: Mapping[Input, int] = field(default_factory=dict)
    lost: Mapping[Input, int] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def committed(self) -> dict[Input, int]:
        """Where the last commit stands: before what was lost."""
        return {key: start - self.lost.get(key, 0) for key, start in self.starts.items()}


def standing_of(
    consumer: Consumer, partitions: list[TopicPartition], job: Job, settings: Settings, deadline: Deadline
) -> Standing:
    """Where to go on in each input; waits while a transaction that may still move it is open.

    Args:
        consumer: A member of the group.
        partitions: What was assigned to it.
        job: What the worker runs.
        settings: How to reach Kafka.
        deadline: By when Kafka has to have answered.

    Raises:
        BrokerError: A topic is missing or laid out otherwise.
        KafkaException: Kafka does not say.
        StateCorruptError: What was committed belongs to another topic of that name.
    """
    if not partitions:
        return Standing()
    ids = topic_ids(job, settings, deadline)
    short = {full: name for name, full in job.topic_names(settings.namespace).items()}
    starts: dict[Input, int] = {}
    lost: dict[Input, int] = {}
    for tp in again(lambda left: consumer.committed(partitions, timeout=left), deadline):
        key = (short[tp.topic], tp.partition)
        if topic_id_of(tp.metadata) not in ("", ids[key[0]]):
            raise StateCorruptError(_other_topic(job, tp, "its id is another than at the last commit"))
        low, high = _bounds(consumer, tp, deadline)
        if tp.offset > high:
            raise StateCorruptError(_other_topic(job, tp, f"it ends at {high}, and {tp.offset} is committed"))
        starts[key] = max(tp.offset, low)
        if 0 <= tp.offset < low:
            lost[key] = low - tp.offset
            logger.error("%s[%d]: %d records were deleted unread", tp.topic, tp.partition, lost[key])
    return Standing(starts, lost, ids)


def restored_stage(job: Job, settings: Settings, standing: Standing, deadline: Deadline, reached: Reached) -> Stage:
    """A new stage over the partitions that are held, with its kept state as of the last commit.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka.
        standing: Where the last commit left each input.
        deadline: By when Kafka has to have said where the changelog ends.
        reached: Told of the fault point, with each slice that was given to the stage.

    Raises:
        Retry: Kept state could not be read in time.
        StateCorruptError: Kept state contradicts itself, or what is committed.
    """
    held, names = frozenset(partition for _, partition in standing.starts), job.topic_names(settings.namespace)
    stage = job.open_stage(held)

    def give(piece: Slice) -> None:
        stage.restore(piece)
        reached("during-restore")

    started, count = monotonic(), 0
    try:
        if job.changelog is not None:
            wanted = range(settings.partitions) if job.changelog_whole else held
            ends = end_offsets(settings, names, [(job.changelog.name, partition) for partition in wanted], deadline)
            kept = {key: (0, end) for key, end in ends.items()}
            count = read_back(settings, names, kept, give, RESTORE_SECONDS)
        resume = stage.resume_at(standing.starts)
        unseen = {key: (offset, standing.starts[key]) for key, offset in resume.items()}
        count += read_back(settings, names, unseen, give, RESTORE_SECONDS)
        stage.lost(standing.lost)
    except BaseException:
        stage.close()
        raise
    logger.info("%s restored %d records in %.2f s", job.name, count, monotonic() - started)
    return stage


def _bounds(consumer: Consumer, tp: TopicPartition, deadline: Deadline) -> tuple[int, int]:
    """Where a partition begins and ends; not before what is committed in it, if that can be waited for."""
    patience, pause = Deadline.after(SETTLE_SECONDS), threading.Event()
    while True:
        low, high = again(functools.partial(_watermarks, consumer, tp), deadline)
        if tp.offset <= high or patience.passed:
            return low, high
        pause.wait(PAUSE_S)


def _watermarks(consumer: Consumer, tp: TopicPartition, seconds: float) -> tuple[int, int]:
    return consumer.get_watermark_offsets(tp, timeout=seconds)


def _other_topic(job: Job, tp: TopicPartition, why: str) -> str:
    return (
        f"{tp.topic}[{tp.partition}] is not the topic that {job.name} has read ({why}): it was deleted and made anew, "
        f"or restored from an older copy. {job.anew}"
    )
