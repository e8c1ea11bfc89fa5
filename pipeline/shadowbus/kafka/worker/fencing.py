"""What stands beside a committed offset: whose transaction may still be open there, and the id of the topic it is of.

Each worker writes its id there when it takes a partition, with every commit, and takes it away when it hands the
partition over in order. So an id that is found on assignment is that of a worker which did not: it is dead, cut off or
asleep, and its transaction may be open. `kafka/worker/loop.py` ends it.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shadowbus.clock import Deadline
from shadowbus.kafka.error_classes import again
from shadowbus.kafka.read.offsets import Partition
from shadowbus.stage import Input

NOBODY = ""


def transactional_id(group: str, held: Collection[int], signed: Collection[str]) -> str:
    """What a worker writes its transactions under for as long as it holds these partitions.

    No two workers hold the same lowest partition, so no two of one generation have the same id; and no id is taken that
    still stands anywhere: whoever ends the transactions of a worker that is gone then hits no other. However often
    workers start again, Kafka sees no more than a few ids for each partition, since it keeps each for a week.

    Args:
        group: The consumer group.
        held: The partitions.
        signed: The ids that stand beside committed offsets of the group.

    >>> transactional_id("churn.judge", {2, 3}, {"churn.judge-2-0", "churn.judge-0-1"})
    'churn.judge-2-1'
    """
    ids = (f"{group}-{min(held)}-{number}" for number in itertools.count())
    return next(one for one in ids if one not in signed)


def committed_of(
    admin: AdminClient, group: str, deadline: Deadline, only: Iterable[Partition] | None = None, *, stable: bool
) -> list[TopicPartition]:
    """What a group has committed.

    Args:
        admin: Asks; not the worker's consumer, which would wait for a rebalance.
        group: The group.
        deadline: By when Kafka has to have answered.
        only: Of these partitions; of all where it is None.
        stable: Wait while a transaction that may still move a position is open. To end those, one asks without.

    Raises:
        KafkaException: Kafka does not say.
    """
    places = None if only is None else [TopicPartition(*place) for place in only]
    wanted = ConsumerGroupTopicPartitions(group, places)

    def ask(seconds: float) -> list[TopicPartition]:
        future = admin.list_consumer_group_offsets([wanted], require_stable=stable, request_timeout=seconds)[group]
        found: list[TopicPartition] = future.result().topic_partitions or []
        for tp in found:
            if tp.error is not None:
                raise KafkaException(tp.error)
        return found

    return again(ask, deadline)


def owners_of(group: str, committed: Iterable[TopicPartition]) -> dict[Partition, str]:
    """The transactional ids that stand beside the committed offsets of a group."""
    found = {(tp.topic, tp.partition): (tp.metadata or "").rpartition(" ")[0] for tp in committed}
    return {place: owner for place, owner in found.items() if owner.startswith(f"{group}-")}


def marked(
    positions: Mapping[Input, int], owner: str, *, names: Mapping[str, str], ids: Mapping[str, str]
) -> list[TopicPartition]:
    """Positions as Kafka takes them; beside each, whose they are, and the id of the topic.

    Args:
        positions: By input.
        owner: A transactional id, or `NOBODY`.
        names: Full topic names by their names in the topology.
        ids: The topics' ids by their names in the topology.
    """
    return [
        TopicPartition(names[topic], p, offset, metadata=f"{owner} {ids[topic]}")
        for (topic, p), offset in positions.items()
    ]


def topic_id_of(mark: str | None) -> str:
    """The topic id in what stands beside a committed offset; empty where something else wrote it.

    >>> topic_id_of("churn.judge-a1 JfJN+F5wTWit+O9nln/tpw"), topic_id_of(""), topic_id_of(None)
    ('JfJN+F5wTWit+O9nln/tpw', '', '')
    """
    return (mark or "").rpartition(" ")[2] if " " in (mark or "") else ""
