"""Reads a topic in no group, as it is now: all its records, its newest ones, or the newest value of each key."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing

from shadowbus.clock import Deadline
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.offsets import Bounds, Partition, bounds
from shadowbus.kafka.read.ranges import SILENCE_S, as_broker_error, consume_ranges
from shadowbus.settings import Settings
from shadowbus.stage import RecordBatch
from shadowbus.topology import Topic

TAIL_RECORDS = 2_000
"""How many of the newest records of a topic to read as a sample."""

LEAST_RECORDS = 20
"""The least of them from each partition."""

TAIL_BYTES = 64 * 1024 * 1024


def read_all(settings: Settings, topic: Topic, silence_s: float = SILENCE_S) -> Generator[RecordBatch, None, None]:
    """Every committed record as of the moment of the call; those of one partition in their order.

    Args:
        settings: How to reach Kafka.
        topic: The topic.
        silence_s: How many seconds Kafka may bring nothing while something is left to read.

    Raises:
        BrokerError: The topic is missing, Kafka refuses to let it be read, or stopped answering before the end.
    """
    name = topic.full_name(settings.namespace)
    limits = bounds(make_admin(settings), [name], Deadline.after(silence_s))
    ranges = {place: (limit.first, limit.committed_end) for place, limit in limits.items()}
    with as_broker_error(f"The topic {name} could not be read"):
        yield from consume_ranges(settings, {name: name}, ranges, silence_s=silence_s)


def read_table(settings: Settings, topic: Topic, deadline: Deadline) -> dict[bytes, bytes]:
    """The newest committed value of each key, as of the moment of the call, without deleted keys.

    Args:
        settings: How to reach Kafka.
        topic: A topic that keeps the newest value per key. Each key must stay in one partition.
        deadline: When Kafka must have answered.

    Raises:
        BrokerError: The topic is missing, or could not be read in time.
    """
    newest: dict[bytes, bytes] = {}
    for batch in read_all(settings, topic, deadline.remaining()):
        for key, value in zip(batch.keys, batch.values, strict=True):
            if key is not None and value is None:
                newest.pop(key, None)
            elif key is not None and value is not None:
                newest[key] = value
    return newest


def read_tail(settings: Settings, topic: Topic, most: int, deadline: Deadline) -> Iterator[bytes]:
    """The newest committed values of a topic, about `most`; those of one partition in their order.

    Args:
        settings: How to reach Kafka.
        topic: The topic.
        most: How many records to read, the same number from each partition.
        deadline: When to stop, with what was read.

    Yields:
        Each value that is not null.

    Raises:
        BrokerError: The topic is missing, or Kafka does not answer, or refuses to let it be read.
    """
    limits = bounds(make_admin(settings), [topic.full_name(settings.namespace)], deadline)
    with closing(_tail(settings, limits, most, deadline)) as batches:
        for batch in batches:
            yield from (value for value in batch.values if value is not None)


def sample_tails(
    settings: Settings, limits: Mapping[Partition, Bounds], deadline: Deadline
) -> dict[str, list[RecordBatch]]:
    """The newest committed records of several topics, bounded in number, bytes and time.

    Args:
        settings: How to reach Kafka.
        limits: Which partitions to read, by full topic names, and where they begin and end.
        deadline: When to stop, with what was read.

    Returns:
        Batches by full topic name, which is their `topic` too.

    Raises:
        BrokerError: Kafka refuses to let a topic be read.
    """
    found: dict[str, list[RecordBatch]] = {topic: [] for topic, _ in limits}
    size = 0
    with closing(_tail(settings, limits, TAIL_RECORDS, deadline)) as batches:
        for batch in batches:
            found[batch.topic].append(batch)
            size += sum(len(value or b"") for value in batch.values)
            if size >= TAIL_BYTES:
                break
    return found


def _tail(
    settings: Settings, limits: Mapping[Partition, Bounds], most: int, deadline: Deadline
) -> Generator[RecordBatch, None, None]:
    counts = Counter(topic for topic, _ in limits)

    def start(topic: str, limit: Bounds) -> int:
        return max(limit.first, limit.committed_end - max(LEAST_RECORDS, most // counts[topic]))

    ranges = {place: (start(place[0], limit), limit.committed_end) for place, limit in limits.items()}
    with as_broker_error("Records could not be read"):
        yield from consume_ranges(settings, {name: name for name in counts}, ranges, until=deadline)
