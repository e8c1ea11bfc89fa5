"""Step 1 of the loop, once the group has met: where to go on in each input, and the stage with its state up to there.

In: the partitions assigned to this worker. Out: a starting offset for each, and a restored stage. Guaranteed: both are
those of the last commit; nothing of an open transaction is taken for committed, and none is overlooked; offsets and
state that do not belong to these topics, or contradict each other, are an error, never a beginning.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from confluent_kafka import TopicPartition

from shadowbus import retries
from shadowbus.clock import Deadline
from shadowbus.errors import StateCorruptError
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.reaching import Admin
from shadowbus.kafka.read.changelog import end_offsets, read_back
from shadowbus.kafka.read.offsets import Partition, readable
from shadowbus.kafka.topic_ids import topic_ids
from shadowbus.kafka.worker.failpoints import Reached
from shadowbus.kafka.worker.fencing import committed_of, topic_id_of
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.pace import Pace
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch, Stage

logger = logging.getLogger("shadowbus.worker")

SILENCE_SECONDS = 60.0
"""A restore may take as long as it takes, while something comes. Longest waits what is behind an open transaction."""

SETTLE_SECONDS = 10.0
"""How long a new leader may take to know where its partition ends."""


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
    partitions: Collection[Partition],
    job: Job,
    settings: Settings,
    deadline: Deadline,
    check: Callable[[], None],
) -> Standing:
    """Where to go on in each input; waits while a transaction that may still move it is open.

    Args:
        partitions: What was assigned to this worker.
        job: What the worker runs.
        settings: How to reach Kafka.
        deadline: By when Kafka has to have answered.
        check: Called now and then; what it raises ends the waiting.

    Raises:
        BrokerError: A topic is missing or laid out otherwise.
        KafkaException: Kafka does not say.
        StateCorruptError: What was committed belongs to another topic of that name.
    """
    admin, ids = make_admin(settings), topic_ids(job, settings, deadline)
    short = {full: name for name, full in job.topic_names(settings.namespace).items()}
    starts: dict[Input, int] = {}
    lost: dict[Input, int] = {}
    found = committed_of(admin, job.group(settings.namespace), deadline, partitions, stable=True)
    held = {(tp.topic, tp.partition): tp for tp in found}
    check()
    there = _readable(admin, held, deadline)
    for place, tp in held.items():
        key = (short[tp.topic], tp.partition)
        low, high = there[place].start, there[place].stop
        if topic_id_of(tp.metadata) not in ("", ids[key[0]]):
            raise StateCorruptError(_other_topic(job, tp, "its id is another than at the last commit"))
        if tp.offset > high:
            raise StateCorruptError(_other_topic(job, tp, f"it ends at {high}, and {tp.offset} is committed"))
        starts[key] = max(tp.offset, low)
        if 0 <= tp.offset < low:
            lost[key] = low - tp.offset
            logger.error("%s[%d]: %d records were deleted unread", tp.topic, tp.partition, lost[key])
    return Standing(starts, lost, ids)


def restored_stage(
    job: Job, settings: Settings, standing: Standing, deadline: Deadline, reached: Reached, check: Callable[[], None]
) -> Stage:
    """A new stage over the partitions that are held, with its kept state as of the last commit.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka.
        standing: Where the last commit left each input.
        deadline: By when Kafka has to have said where the changelog ends.
        reached: Told of the fault point, with each slice that was given to the stage.
        check: Called now and then; what it raises ends the restore.

    Raises:
        BrokerError: Kafka refuses to let it be read.
        Retry: Kept state could not be read: Kafka brought nothing for `SILENCE_SECONDS`.
        StateCorruptError: Kept state contradicts itself, or what is committed.
    """
    held, names = frozenset(partition for _, partition in standing.starts), job.topic_names(settings.namespace)
    stage, pace = job.open_stage(held), Pace(job.name)

    def giving(take: Callable[[RecordBatch], None]) -> Callable[[RecordBatch], None]:
        def give(batch: RecordBatch) -> None:
            take(batch)
            pace.took(batch)
            reached("during-restore")

        return give

    def look() -> None:
        check()
        pace.say()

    def read(ranges: Mapping[Input, tuple[int, int]], take: Callable[[RecordBatch], None]) -> None:
        pace.expect(ranges)
        read_back(settings, names, ranges, giving(take), SILENCE_SECONDS, look)

    try:
        if job.changelog is not None:
            wanted = range(settings.partitions) if job.changelog_whole else held
            ends = end_offsets(settings, names, [(job.changelog.name, partition) for partition in wanted], deadline)
            read({key: (0, end) for key, end in ends.items()}, stage.restore)
        resume = stage.resume_at(standing.starts)
        read({key: (offset, standing.starts[key]) for key, offset in resume.items()}, stage.reread)
        check()
        stage.lost(standing.lost)
    except BaseException:
        stage.close()
        raise
    logger.info("%s restored %d records in %.2f s", job.name, pace.records, pace.seconds)
    return stage


def _readable(admin: Admin, held: Mapping[Partition, TopicPartition], deadline: Deadline) -> dict[Partition, range]:
    """Where the partitions begin and end; not before what is committed in them, if that can be waited for."""
    return retries.again(
        lambda: readable(admin, held, deadline),
        Deadline.after(min(SETTLE_SECONDS, deadline.remaining())),
        settled=lambda found: all(tp.offset <= found[place].stop for place, tp in held.items()),
    )


def _other_topic(job: Job, tp: TopicPartition, why: str) -> str:
    return (
        f"{tp.topic}[{tp.partition}] is not the topic that {job.name} has read ({why}): it was deleted and made anew, "
        f"or restored from an older copy. {job.anew}"
    )
