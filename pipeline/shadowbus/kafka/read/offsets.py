"""Where the partitions of topics begin and end."""

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec

from shadowbus import retries
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import plainly
from shadowbus.kafka.error_classes import may_pass
from shadowbus.kafka.reaching import Admin, existing_topics

Partition = tuple[str, int]
"""One partition, by its topic's full name."""


EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first offset there is, the one after the last, and the one where a committed read ends for now."""

    first: int
    end: int
    committed_end: int


def offset_of(listed: ListOffsetsResultInfo, place: TopicPartition) -> int:
    """The first or last offset that Kafka named.

    librdkafka leaves it negative, without an error, where the broker that leads the partition went away meanwhile.

    Args:
        listed: What was asked for, by EARLIEST or LATEST.
        place: Of which partition.

    Raises:
        KafkaException: It named none, and may a little later.
    """
    if listed.offset < 0:
        unnamed = f"the leader of {place.topic}[{place.partition}] named no offset"
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, unnamed))
    return int(listed.offset)


def bounds(admin: Admin, topics: Iterable[str], deadline: Deadline) -> dict[Partition, Bounds]:
    """The bounds of every partition of these topics.

    Raises:
        BrokerError: A topic is missing, or Kafka does not answer in time.
    """
    names = list(topics)
    present = existing_topics(admin, names, max(1.0, deadline.remaining()))
    partitions: list[Partition] = []
    for name in names:
        if name not in present:
            raise BrokerError(f"The topic {name} is missing: create it with `shadowbus topics --create`.")
        partitions += [(name, partition) for partition in present[name].partitions]
    try:
        first = _ask(admin, partitions, EARLIEST, IsolationLevel.READ_UNCOMMITTED, deadline)
        end = _ask(admin, partitions, LATEST, IsolationLevel.READ_UNCOMMITTED, deadline)
        committed = _ask(admin, partitions, LATEST, IsolationLevel.READ_COMMITTED, deadline)
    except KafkaException as error:
        raise BrokerError(f"Kafka did not say where the partitions end: {plainly(error)}.") from error
    return {one: Bounds(first[one], end[one], committed[one]) for one in partitions}


def readable(admin: Admin, partitions: Iterable[Partition], deadline: Deadline) -> dict[Partition, range]:
    """The offsets of these partitions that a committed read has before it now.

    Raises:
        KafkaException: Kafka does not say in time.
    """
    places = list(partitions)
    first = _ask(admin, places, EARLIEST, IsolationLevel.READ_UNCOMMITTED, deadline)
    end = _ask(admin, places, LATEST, IsolationLevel.READ_COMMITTED, deadline)
    return {one: range(first[one], end[one]) for one in places}


def _ask(
    admin: Admin, partitions: list[Partition], spec: OffsetSpec, isolation: IsolationLevel, deadline: Deadline
) -> dict[Partition, int]:
    if not partitions:
        return {}
    wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}

    def ask() -> dict[Partition, int]:
        futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=max(1.0, deadline.remaining()))
        return {(tp.topic, tp.partition): offset_of(future.result(), tp) for tp, future in futures.items()}

    return retries.again(ask, deadline, passes=_settles)


def _settles(error: BaseException) -> bool:
    """Whether the partition is only being created or moved; a call that timed out has had its time."""
    if not isinstance(error, KafkaException) or error.args[0].code() == KafkaError._TIMED_OUT:
        return False
    return may_pass(error) or error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
