"""Step 1 of the loop, once the group has met: where to go on in each input, and the stage with its state up to there.

In: the partitions assigned to this worker. Out: a starting offset for each, and a restored stage. Guaranteed: both are
those of the last commit; nothing of an open transaction is taken for committed, and none is overlooked.
"""

import functools
import logging
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, TopicPartition

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import Retry
from shadowbus.kafka.changelog import end_offsets, read_back
from shadowbus.kafka.complaints import again
from shadowbus.kafka.job import Job
from shadowbus.settings import Settings
from shadowbus.stage import Input, Slice, Stage

logger = logging.getLogger("shadowbus.exactly_once")

RESTORE_SECONDS = 120.0


def starts_of(
    consumer: Consumer, partitions: list[TopicPartition], short: Mapping[str, str], deadline: Deadline
) -> dict[Input, int]:
    """Where to go on in each input; waits while a transaction that may still move it is open.

    Args:
        consumer: A member of the group.
        partitions: What was assigned to it.
        short: Names in the topology by full topic names.
        deadline: By when Kafka has to have answered.

    Raises:
        KafkaException: Kafka does not say.
        Retry: An input ends before the committed offset.
    """
    if not partitions:
        return {}
    committed = again(lambda left: consumer.committed(partitions, timeout=left), deadline)
    starts: dict[Input, int] = {}
    for tp in committed:
        low, high = again(functools.partial(_watermarks, consumer, tp), deadline)
        if tp.offset > high:
            raise Retry(f"{tp.topic}[{tp.partition}] ends at {high}, before the committed offset {tp.offset}.")
        if 0 <= tp.offset < low:
            logger.error("%s[%d]: %d records were deleted unread", tp.topic, tp.partition, low - tp.offset)
        starts[short[tp.topic], tp.partition] = max(tp.offset, low)
    return starts


def restored_stage(
    job: Job, settings: Settings, starts: Mapping[Input, int], deadline: Deadline, reached: Callable[[str], None]
) -> Stage:
    """A new stage over the partitions in `starts`, with its kept state as of the last commit.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka.
        starts: Where the last commit left each input.
        deadline: By when Kafka has to have said where the changelog ends.
        reached: Told of the fault point, with each slice that was given to the stage.

    Raises:
        Retry: Kept state could not be read in time.
        StateCorruptError: Kept state contradicts itself.
    """
    held, names = frozenset(partition for _, partition in starts), job.topic_names(settings.namespace)
    stage = job.open_stage(held)

    def give(piece: Slice) -> None:
        stage.restore(piece)
        reached("during-restore")

    try:
        ranges: dict[Input, tuple[int, int]] = {}
        if job.changelog is not None:
            wanted = range(settings.partitions) if job.changelog_whole else held
            kept: list[Input] = [(job.changelog.name, partition) for partition in wanted]
            ends = end_offsets(settings, names, kept, deadline)
            ranges.update({key: (0, end) for key, end in ends.items()})
        for key, offset in stage.resume_at(starts).items():
            ranges[key] = (offset, starts[key])
        started = monotonic()
        count = read_back(settings, names, ranges, give, RESTORE_SECONDS)
    except BaseException:
        stage.close()
        raise
    logger.info("%s restored %d records in %.2f s", job.name, count, monotonic() - started)
    return stage


def _watermarks(consumer: Consumer, tp: TopicPartition, seconds: float) -> tuple[int, int]:
    return consumer.get_watermark_offsets(tp, timeout=seconds)
