"""Consumer groups from outside: who is in them, and how far they are behind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, plainly
from shadowbus.kafka.read.offsets import Bounds, Partition, bounds
from shadowbus.settings import Settings

_NO_SUCH_GROUP = KafkaError.GROUP_ID_NOT_FOUND


@dataclass(frozen=True, slots=True)
class GroupState:
    """One group: its state in Kafka's words, its members, and the records not yet committed, by full topic name.

    `ever` is whether it has committed anything at all.
    """

    group: str
    state: str
    members: int
    lag: Mapping[str, int]
    ever: bool


def group_states(
    settings: Settings, reads: Mapping[str, Iterable[str]], deadline: Deadline
) -> tuple[dict[str, GroupState], dict[str, int]]:
    """How groups are, and how many records their topics have ever held.

    Args:
        settings: How to reach Kafka.
        reads: The full names of the topics that each group reads; all of them exist.
        deadline: By when Kafka has to have answered it all.

    Returns:
        The states by group, and for each topic the sum of its partitions' end offsets: 0 when nothing ever arrived.

    Raises:
        BrokerError: Kafka does not answer in time.
    """
    admin = make_admin(settings)
    topics = sorted({topic for names in reads.values() for topic in names})
    limits = bounds(admin, topics, deadline)
    try:
        states = {group: _state(admin, group, frozenset(names), limits, deadline) for group, names in reads.items()}
    except KafkaException as error:
        raise BrokerError(f"Kafka does not show its consumer groups: {plainly(error)}.") from error
    return states, {name: sum(limit.end for (topic, _), limit in limits.items() if topic == name) for name in topics}


def _state(
    admin: AdminClient, group: str, topics: frozenset[str], limits: Mapping[Partition, Bounds], deadline: Deadline
) -> GroupState:
    state, members = _members(admin, group, deadline)
    committed = _committed(admin, group, deadline)
    lag = dict.fromkeys(sorted(topics), 0)
    for (topic, partition), limit in limits.items():
        if topic in topics:
            reached = max(limit.first, committed.get((topic, partition), limit.first))
            lag[topic] += max(0, limit.end - reached)
    return GroupState(group, state, members, lag, bool(committed))


def _members(admin: AdminClient, group: str, deadline: Deadline) -> tuple[str, int]:
    seconds = max(1.0, deadline.remaining())
    try:
        found = admin.describe_consumer_groups([group], request_timeout=seconds)[group].result()
    except KafkaException as error:
        if error.args[0].code() == _NO_SUCH_GROUP:
            return "DEAD", 0
        raise
    return found.state.name, len(found.members)


def _committed(admin: AdminClient, group: str, deadline: Deadline) -> dict[Partition, int]:
    seconds = max(1.0, deadline.remaining())
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=seconds)
    try:
        found = asked[group].result()
    except KafkaException as error:
        if error.args[0].code() == _NO_SUCH_GROUP:
            return {}
        raise
    return {(tp.topic, tp.partition): tp.offset for tp in found.topic_partitions or () if tp.offset >= 0}
