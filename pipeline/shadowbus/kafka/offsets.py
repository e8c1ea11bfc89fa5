"""Where the partitions of topics begin and end."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import plainly
from shadowbus.kafka.reaching import Admin, existing_topics

Partition = tuple[str, int]
"""One partition, by its topic's full name."""

PAUSE_S = 0.1

_SETTLING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
"""What Kafka says of a partition that is being created or moved."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first offset there is, the one after the last, and the one where a committed read ends for now."""

    first: int
    end: int
    committed_end: int


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
    earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    first = _ask(admin, partitions, earliest, IsolationLevel.READ_UNCOMMITTED, deadline)
    end = _ask(admin, partitions, latest, IsolationLevel.READ_UNCOMMITTED, deadline)
    committed = _ask(admin, partitions, latest, IsolationLevel.READ_COMMITTED, deadline)
    return {one: Bounds(first[one], end[one], committed[one]) for one in partitions}


def _ask(
    admin: Admin, partitions: list[Partition], spec: OffsetSpec, isolation: IsolationLevel, deadline: Deadline
) -> dict[Partition, int]:
    if not partitions:
        return {}
    wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}
    pause = threading.Event()
    while True:
        seconds = max(1.0, deadline.remaining())
        try:
            futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=seconds)
            return {(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}
        except KafkaException as error:
            reason = error.args[0]
            if deadline.passed or not (reason.retriable() or reason.code() in _SETTLING):
                raise BrokerError(f"Kafka did not say where the partitions end: {plainly(error)}.") from error
        pause.wait(PAUSE_S)
