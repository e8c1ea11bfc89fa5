"""Reads ranges of offsets to their ends, in no group: the one reader under all functions that read something whole.

In: ranges by partition. Out: batches of records. Guaranteed: every committed record of the ranges and no other, those
of one partition in their order, or an error.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping

from confluent_kafka import KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_admin, make_reader
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP, as_next_action
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.read.offsets import Bounds, bounds
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.topology import Topic

BATCH = 2_000
POLL_S = 0.2
ASK_S = 30.0
SILENCE_S = 30.0

Ranges = Mapping[Input, tuple[int, int]]
"""The first offset to read and the one after the last, by partition."""


def consume_ranges(
    settings: Settings,
    names: Mapping[str, str],
    ranges: Ranges,
    *,
    silence_s: float = SILENCE_S,
    until: Deadline | None = None,
    check: Callable[[], None] = lambda: None,
) -> Generator[RecordBatch, None, None]:
    """Every committed record of the ranges.

    Args:
        settings: How to reach Kafka.
        names: Full topic names by the names that `ranges` and the batches have.
        ranges: What to read; an end may be behind an open transaction, which is then waited for.
        silence_s: How many seconds Kafka may bring nothing while something is left to read. The time that the caller
            takes for a batch does not count.
        until: Stop here with what was read, without an error.
        check: Called several times a second; an error that it raises ends the reading.

    Raises:
        BrokerError: Kafka refuses to let it be read.
        Retry: Kafka stopped answering, or an open transaction did not end in time.
    """
    left = {place: end for place, (start, end) in ranges.items() if start < end}
    if not left:
        return
    errors, short = ClientErrors(), {names[topic]: topic for topic, _ in left}
    consumer = make_reader(settings, error_cb=errors.note)
    try:
        with as_next_action(f"to let {', '.join(sorted(short))} be read", errors.recent):
            consumer.assign([TopicPartition(names[topic], p, ranges[topic, p][0]) for topic, p in left])
            silence = Deadline.after(silence_s)
            while left and not (until is not None and until.passed):
                check()
                batches, reached = batches_of(consumer.consume(BATCH, POLL_S), short, HARMLESS_IN_NO_GROUP)
                for batch in batches:
                    if batch.input in left:
                        reached[batch.input] = max(reached.get(batch.input, 0), batch.next_offset)
                        _cut(batch, left[batch.input])
                        if batch.offsets:
                            yield batch
                            check()
                if batches or reached:
                    silence = Deadline.after(silence_s)
                elif silence.passed:
                    raise _silent(left, names, silence_s, errors)
                left = {place: end for place, end in left.items() if reached.get(place, 0) < end}
    finally:
        consumer.close()


def read_ranges(settings: Settings, topics: Mapping[str, Topic], ranges: Ranges) -> Generator[RecordBatch, None, None]:
    """The same, of ranges that Kafka may no longer have.

    Args:
        settings: How to reach Kafka.
        topics: By the names that `ranges` has.
        ranges: What to read.

    Raises:
        BrokerError: Kafka no longer has all of it, never had, or stopped answering.
    """
    wanted = {place: (first, after) for place, (first, after) in ranges.items() if first < after}
    names = {name: topics[name].full_name(settings.namespace) for name, _ in wanted}
    there = bounds(make_admin(settings), sorted(set(names.values())), Deadline.after(ASK_S)) if wanted else {}
    for (topic, partition), (first, after) in sorted(wanted.items()):
        limits = there.get((names[topic], partition), Bounds(0, 0, 0))
        if limits.first > first:
            raise BrokerError(
                f"Kafka no longer has all of {names[topic]}, partition {partition}: the records begin at offset "
                f"{limits.first}, and {first} is needed (retention.ms of the topic says how long records are kept)."
            )
        if limits.end < after:
            raise BrokerError(
                f"{names[topic]}, partition {partition}, ends at offset {limits.end}, and {after} is needed: the topic "
                "was deleted and recreated, or this is another Kafka."
            )
    with as_broker_error("The records could not be read"):
        yield from consume_ranges(settings, names, wanted)


@contextlib.contextmanager
def as_broker_error(what: str) -> Iterator[None]:
    """Where nobody tries again, a failure that may pass is an error for a person.

    Raises:
        BrokerError: In place of `Retry`; says `what`, and why.
    """
    try:
        yield
    except Retry as error:
        raise BrokerError(f"{what}: {str(error).rstrip('.')}.") from error


def _silent(left: Mapping[Input, int], names: Mapping[str, str], seconds: float, errors: ClientErrors) -> Exception:
    if (refusal := errors.recent()) is not None:
        return KafkaException(refusal)
    places = ", ".join(f"{names[topic]}[{partition}]" for topic, partition in sorted(left))
    return Retry(f"{places} could not be read to the end: nothing came for {seconds:.0f} s")


def _cut(batch: RecordBatch, end: int) -> None:
    while batch.offsets and batch.offsets[-1] >= end:
        for column in (batch.keys, batch.values, batch.timestamps, batch.offsets):
            column.pop()
