"""Restores a stage: its state from the changelog, then the input that the state has not applied yet.

Guaranteed: the state is that of the last commit. State that contradicts itself or the committed positions is an error,
never a beginning.
"""

import logging
from collections.abc import Callable
from contextlib import closing

from shadowbus.clock import Deadline, monotonic
from shadowbus.kafka.read.ends import end_offsets
from shadowbus.kafka.read.ranges import Ranges, consume_ranges
from shadowbus.kafka.worker.committed import CommittedPositions
from shadowbus.kafka.worker.failpoints import reached
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch, Stage

logger = logging.getLogger("shadowbus.worker")

SILENCE_SECONDS = 60.0
"""A restore may take any time while records come. The longest silence is behind an open transaction."""

SAY_SECONDS = 5.0
"""How often to log how far a restore is."""


def restored_stage(
    job: Job, settings: Settings, positions: CommittedPositions, deadline: Deadline, check: Callable[[], None]
) -> Stage:
    """A new stage over the partitions, with its state as of the last commit.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka.
        positions: Where the last commit left each input.
        deadline: When Kafka must have named the end of the changelog.
        check: Called now and then; an error that it raises ends the restore.

    Raises:
        BrokerError: Kafka refuses to let the state be read.
        Retry: The state could not be read: nothing came for `SILENCE_SECONDS`.
        StateCorruptError: The state contradicts itself, or the committed positions.
    """
    held, names = frozenset(partition for _, partition in positions.starts), job.topic_names(settings.namespace)
    stage, progress = job.open_stage(held), RestoreProgress(job.name)

    def look() -> None:
        check()
        progress.say()

    def read(ranges: Ranges, take: Callable[[RecordBatch], None]) -> None:
        progress.expect(ranges)
        with closing(consume_ranges(settings, names, ranges, silence_s=SILENCE_SECONDS, check=look)) as batches:
            for batch in batches:
                take(batch)
                progress.took(batch)
                reached("during-restore")

    try:
        if job.changelog is not None:
            wanted = range(settings.partitions) if job.changelog_whole else held
            ends = end_offsets(settings, names, [(job.changelog.name, partition) for partition in wanted], deadline)
            read({key: (0, end) for key, end in ends.items()}, stage.restore)
        resume = stage.resume_at(positions.starts)
        read({key: (offset, positions.starts[key]) for key, offset in resume.items()}, stage.reread)
        check()
        stage.lost(positions.lost)
    except BaseException:
        stage.close()
        raise
    logger.info("%s restored %d records in %.2f s", job.name, progress.records, progress.seconds)
    return stage


class RestoreProgress:
    """How far a restore is: a log line every few seconds.

    Args:
        name: The stage whose state it is.
    """

    def __init__(self, name: str) -> None:
        self.name, self.records, self.began = name, 0, monotonic()
        self.say_at = self.began + SAY_SECONDS
        self.starts: dict[Input, int] = {}
        self.ends: dict[Input, int] = {}
        self.at: dict[Input, int] = {}

    def expect(self, ranges: Ranges) -> None:
        """Note the offsets to read, from the first to before the second."""
        for key, (start, end) in ranges.items():
            if start < end:
                self.starts[key], self.ends[key], self.at[key] = start, end, start

    def took(self, batch: RecordBatch) -> None:
        """Note that these records were restored."""
        self.records += len(batch.offsets)
        self.at[batch.input] = batch.next_offset

    def say(self) -> None:
        """Log a line, if it is time for one."""
        now = monotonic()
        if now < self.say_at:
            return
        self.say_at = now + SAY_SECONDS
        logger.info(
            "%s restores its state: offset %d of %d, %d records so far, %.0f a second",
            self.name,
            sum(at - self.starts[key] for key, at in self.at.items()),
            sum(end - self.starts[key] for key, end in self.ends.items()),
            self.records,
            self.records / max(0.001, now - self.began),
        )

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return monotonic() - self.began
