"""Watch several topics with one consumer: some from their beginning, of others only what is new. In nobody's group.

What comes out are batches of committed records, with whether Kafka answers. A batch comes at least about once a second,
an empty one if need be. Nothing is committed and no group is joined, so no trace of it stays in Kafka.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import BrokerError
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_admin, make_reader, plainly
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP
from shadowbus.kafka.read.batches import batches_of
from shadowbus.kafka.read.offsets import bounds
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.topology import Topic

BATCH = 500
POLL_S = 0.2
PROBE_S = 1.0
SILENCE_S = 3.0
SPARSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic to watch; where `newest` is set, only about so many records of each partition, and so many a second."""

    topic: Topic
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What came: records, whether Kafka answers, and whether all that there was at the beginning has been read."""

    batches: list[RecordBatch]
    connected: bool
    complete: bool


@dataclass(slots=True)
class _Sparse:
    """A partition of which only the end is of interest: how much was read in this second."""

    newest: int
    read: int = 0
    paused: bool = False


@dataclass(slots=True)
class _State:
    names: dict[str, str]
    unread: set[Input]
    sparse: dict[Input, _Sparse] = field(default_factory=dict)
    connected: bool = True
    heard: ClientErrors = field(default_factory=ClientErrors)
    heard_at: float = 0.0
    second_at: float = 0.0


def watch(settings: Settings, wanted: Iterable[Wanted], stop: Event, deadline: Deadline) -> Generator[News, None, None]:
    """Follow the topics until `stop` is set.

    Args:
        settings: How to reach Kafka.
        wanted: Which topics, and from where.
        stop: Set it to end; looked at several times a second.
        deadline: By when Kafka has to have said where the topics end.

    Raises:
        BrokerError: A topic is missing, Kafka did not answer at the beginning, or refuses to let a topic be read.
    """
    topics = {one.topic.full_name(settings.namespace): one for one in wanted}
    limits = bounds(make_admin(settings), topics, deadline)
    names = {name: one.topic.name for name, one in topics.items()}
    unread = {(names[name], number) for (name, number), limit in limits.items() if limit.first < limit.committed_end}
    state = _State(names, unread, heard_at=monotonic(), second_at=monotonic())
    starts = []
    for (name, number), limit in limits.items():
        newest, first = topics[name].newest, limit.first
        if newest is not None:
            state.sparse[names[name], number] = _Sparse(newest)
            first = max(first, limit.committed_end - newest)
        starts.append(TopicPartition(name, number, first))
    consumer = _consumer(settings, state)
    try:
        consumer.assign(starts)
        while not stop.is_set():
            yield _next(consumer, state)
    except KafkaException as error:
        raise BrokerError(f"Records could not be read: {plainly(error)}.") from error
    finally:
        consumer.close()


def _consumer(settings: Settings, state: _State) -> Consumer:
    def note(error: KafkaError) -> None:
        state.heard.note(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            state.connected = False

    properties: dict[str, Any] = {
        "error_cb": note,
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    return make_reader(settings, **properties)


def _next(consumer: Consumer, state: _State) -> News:
    messages = consumer.consume(BATCH, POLL_S)
    now = monotonic()
    batches, ends = batches_of(messages, state.names, HARMLESS_IN_NO_GROUP)
    state.unread -= ends.keys()
    if batches:
        state.heard_at, state.connected = now, True
    elif now - state.heard_at >= (SILENCE_S if state.connected else PROBE_S):
        state.connected, state.heard_at = _answers(consumer), monotonic()
        if not state.connected and (said := state.heard.recent()) is not None:
            raise KafkaException(said)
    _thin(consumer, state, batches, now)
    return News(batches, state.connected, not state.unread)


def _answers(consumer: Consumer) -> bool:
    try:
        consumer.list_topics(timeout=PROBE_S)
    except KafkaException:
        return False
    return True


def _thin(consumer: Consumer, state: _State, batches: Iterable[RecordBatch], now: float) -> None:
    """Read no more of a partition in one second than is kept of it, and go on at its end."""
    full = {short: name for name, short in state.names.items()}
    for batch in batches:
        sparse = state.sparse.get(batch.input)
        if sparse is not None:
            sparse.read += len(batch.offsets)
            if sparse.read >= sparse.newest and not sparse.paused:
                sparse.paused = True
                consumer.pause([TopicPartition(full[batch.topic], batch.partition)])
                state.unread.discard(batch.input)
    if now - state.second_at < SPARSE_S:
        return
    state.second_at = now
    for (topic, number), sparse in state.sparse.items():
        sparse.read = 0
        if sparse.paused:
            sparse.paused = False
            place = TopicPartition(full[topic], number)
            consumer.resume([place])
            _, end = consumer.get_watermark_offsets(place, cached=True)
            (position,) = consumer.position([place])
            if 0 <= position.offset < end - sparse.newest:
                consumer.seek(TopicPartition(place.topic, number, end - sparse.newest))
