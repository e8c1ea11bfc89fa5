"""Where a worker reads on: the committed positions of its partitions, checked against the topics as they are now.

Guaranteed: nothing of an open transaction counts as committed, and no commit is overlooked; positions that belong to
another topic of the same name are an error, never a beginning.
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
from shadowbus.kafka.read.offsets import Partition, readable
from shadowbus.kafka.topic_ids import topic_ids
from shadowbus.kafka.worker.fencing import committed_of, topic_id_of
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.stage import Input

logger = logging.getLogger("shadowbus.worker")

SETTLE_SECONDS = 10.0
"""How long a new leader may take to know where its partition ends."""


@dataclass(frozen=True, slots=True)
class CommittedPositions:
    """The committed positions of one assignment.

    `starts` is where to read on; `lost` is how many records before that Kafka deleted unread; `ids` are the topics'
    ids by their names in the topology.
    """

    starts: Mapping[Input, int] = field(default_factory=dict)
    lost: Mapping[Input, int] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def committed(self) -> dict[Input, int]:
        """The positions as committed: before the lost records."""
        return {key: start - self.lost.get(key, 0) for key, start in self.starts.items()}


def committed_positions(
    partitions: Collection[Partition],
    job: Job,
    settings: Settings,
    deadline: Deadline,
    check: Callable[[], None],
) -> CommittedPositions:
    """Where to read on in each input; waits while a transaction that may still move a position is open.

    Args:
        partitions: What was assigned to this worker.
        job: What the worker runs.
        settings: How to reach Kafka.
        deadline: By when Kafka has to have answered.
        check: Called now and then; an error that it raises ends the wait.

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
            raise StateCorruptError(_other_topic(job, tp, "its id differs from that at the last commit"))
        if tp.offset > high:
            raise StateCorruptError(_other_topic(job, tp, f"it ends at {high}, and {tp.offset} is committed"))
        starts[key] = max(tp.offset, low)
        if 0 <= tp.offset < low:
            lost[key] = low - tp.offset
            logger.error("%s[%d]: %d records were deleted unread", tp.topic, tp.partition, lost[key])
    return CommittedPositions(starts, lost, ids)


def _readable(admin: Admin, held: Mapping[Partition, TopicPartition], deadline: Deadline) -> dict[Partition, range]:
    """The bounds of the partitions; waits a little for a leader that does not know of the committed records yet."""
    return retries.again(
        lambda: readable(admin, held, deadline),
        Deadline.after(min(SETTLE_SECONDS, deadline.remaining())),
        settled=lambda found: all(tp.offset <= found[place].stop for place, tp in held.items()),
    )


def _other_topic(job: Job, tp: TopicPartition, why: str) -> str:
    return (
        f"{tp.topic}[{tp.partition}] was deleted and recreated, or restored from an older copy, since {job.name} last "
        f"committed ({why}). {job.anew}"
    )
