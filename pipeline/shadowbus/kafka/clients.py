"""Kafka clients with this project's defaults; every librdkafka property of the settings passes through on top."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from shadowbus.errors import SettingsError
from shadowbus.kafka.reaching import Admin
from shadowbus.settings import Settings
from shadowbus.topology import KEPT_WITH_BYTES, MAX_RECORD_BYTES

Client = TypeVar("Client")
Note = Callable[[KafkaError], None]

PROBE_S = 5.0

logger = logging.getLogger("shadowbus.kafka")

_SHARED: dict[str, Any] = {
    "log.connection.close": False,
    "topic.metadata.refresh.interval.ms": 30_000,
    "reconnect.backoff.max.ms": 500,  # of ten seconds each outage would be so much longer
}


def make_producer(settings: Settings, **properties: object) -> Producer:
    """A producer: compressed, large batches, the partitioner that Java, Faust and aiokafka use."""
    defaults = {
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 20,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 131_072,
        "message.max.bytes": MAX_RECORD_BYTES + 2 * KEPT_WITH_BYTES,  # more than any topic takes; see worker/output.py
    }
    return _make(Producer, {**_SHARED, **defaults, **settings.kafka_for("producer"), **properties})


def make_transactional_producer(settings: Settings, transactional_id: str, note: Note) -> Producer:
    """A producer for one worker's transactions; `note` is told what it says on the side."""
    return make_producer(
        settings,
        **{
            "transactional.id": transactional_id,
            "transaction.timeout.ms": settings.worker.transaction_timeout_ms,
            "linger.ms": 10,
            "error_cb": note,
        },
    )


def make_consumer(settings: Settings, **properties: object) -> Consumer:
    """A consumer that reads only what is committed and commits nothing by itself."""
    defaults = {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "queued.max.messages.kbytes": 16_384,
        "fetch.message.max.bytes": 1_048_576,
        "fetch.queue.backoff.ms": 10,
        "session.timeout.ms": settings.worker.session_timeout_ms,  # max.poll.interval.ms may be no less
    }
    return _make(Consumer, {**_SHARED, **defaults, **settings.kafka_for("consumer"), **properties})


def make_reader(settings: Settings, **properties: object) -> Consumer:
    """A consumer for `assign`: in nobody's group, so it leaves no trace in Kafka and needs no right on a group.

    librdkafka needs a group name and looks for its coordinator. Where that is refused it reads all the same, and
    reports it among the messages: `error_classes.HARMLESS_IN_NO_GROUP`.
    """
    own = {"group.id": f"{settings.namespace}.reader", "enable.partition.eof": True}
    return make_consumer(settings, **{**own, **properties})


def make_member(settings: Settings, group: str, worker_id: str, note: Note) -> Consumer:
    """A consumer that joins a group; under a stable name as a static member, if the worker has one.

    `note` is told what it says on the side.
    """
    static = {"group.instance.id": worker_id} if worker_id else {}
    return make_consumer(
        settings,
        **{
            "group.id": group,
            "partition.assignment.strategy": "range",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # a position that is gone is looked at in step 1, never passed over
            "session.timeout.ms": settings.worker.session_timeout_ms,
            "heartbeat.interval.ms": max(100, settings.worker.session_timeout_ms // 4),
            "error_cb": note,
            **static,
        },
    )


def make_admin(settings: Settings) -> Admin:
    """An admin client. Keep it until its futures are done: collected earlier, it cancels them."""
    return _make(Admin, {**_SHARED, **settings.kafka_for("admin")})


def plainly(error: KafkaError | BaseException) -> str:
    """What Kafka complains about, in its own words and without the wrapping."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(inner)


def _make(kind: Callable[[dict[str, Any]], Client], properties: dict[str, Any]) -> Client:
    if not properties.get("bootstrap.servers"):
        raise SettingsError('[kafka] needs "bootstrap.servers", such as "localhost:9092".')
    properties.setdefault("error_cb", lambda error: logger.debug("librdkafka: %s", error))
    properties.setdefault("logger", logging.getLogger("shadowbus.librdkafka"))
    try:
        return kind(properties)
    except (KafkaException, TypeError, ValueError) as error:
        raise SettingsError(f"A property in [kafka] is not accepted: {plainly(error)}.") from error


def answers(settings: Settings) -> bool:
    """Whether any broker answers."""
    try:
        make_admin(settings).list_topics(timeout=PROBE_S)
    except KafkaException:
        return False
    return True
