"""What stands beside a committed offset: whose transaction may still be open there, and the id of the topic it is of.

Each worker writes its id there when it takes a partition, with every commit, and takes it away when it hands the
partition over in order. So an id that is found on assignment is that of a worker which did not: it is dead, cut off or
asleep, and its transaction may be open. `kafka/exactly_once.py` ends it.
"""

import uuid
from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.complaints import again
from shadowbus.settings import Settings
from shadowbus.stage import Input

NOBODY = ""


def transactional_id(group: str, worker_id: str) -> str:
    """What one membership of a group writes its transactions under.

    No two memberships have the same: ending the transactions of one that is gone then hits no other.
    """
    return f"{group}-{worker_id}-{uuid.uuid4().hex[:12]}"


def owners_of(settings: Settings, group: str, partitions: list[TopicPartition], deadline: Deadline) -> list[str]:
    """The transactional ids that stand beside the committed offsets of these partitions, each once.

    It does not wait for open transactions, as a reader of committed positions would: to end those, it is asked.

    Raises:
        KafkaException: Kafka does not say.
    """
    admin = make_admin(settings)
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(tp.topic, tp.partition) for tp in partitions])

    def ask(seconds: float) -> ConsumerGroupTopicPartitions:
        future = admin.list_consumer_group_offsets([wanted], require_stable=False, request_timeout=seconds)[group]
        found: ConsumerGroupTopicPartitions = future.result()
        return found

    found = {(tp.metadata or "").rpartition(" ")[0] for tp in again(ask, deadline).topic_partitions or ()}
    return sorted(owner for owner in found if owner.startswith(f"{group}-"))


def marked(
    positions: Mapping[Input, int], names: Mapping[str, str], owner: str, ids: Mapping[str, str]
) -> list[TopicPartition]:
    """Positions as Kafka takes them; beside each, whose they are, and the id of the topic.

    Args:
        positions: By input.
        names: Full topic names by their names in the topology.
        owner: A transactional id, or `NOBODY`.
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
