"""Follow a topic as it grows: what is committed, in nobody's group, without leaving a trace in Kafka."""

import logging
import threading
from collections.abc import Generator

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, make_reader
from shadowbus.kafka.complaints import HARMLESS_IN_NO_GROUP
from shadowbus.kafka.offsets import bounds
from shadowbus.settings import Settings
from shadowbus.topology import Topic

BATCH = 500
POLL_S = 0.2

logger = logging.getLogger("shadowbus.kafka")


def follow(
    settings: Settings, topic: Topic, stop: threading.Event, deadline: Deadline, *, from_beginning: bool = False
) -> Generator[bytes, None, None]:
    """The values of a topic, those of one partition in their order, until `stop` is set.

    Args:
        settings: How to reach Kafka.
        topic: What to follow.
        stop: Set it to end; looked at several times a second.
        deadline: By when Kafka has to have said where the topic ends; what comes after takes as long as it takes.
        from_beginning: Start with all there is, in place of what comes from now on.

    Yields:
        Each value that is not null.

    Raises:
        BrokerError: The topic is missing, or Kafka does not answer.
    """
    limits = bounds(make_admin(settings), [topic.full_name(settings.namespace)], deadline)
    consumer = make_reader(settings, **{"enable.partition.eof": False, "error_cb": _note})
    try:
        consumer.assign(
            [
                TopicPartition(name, partition, limit.first if from_beginning else limit.committed_end)
                for (name, partition), limit in limits.items()
            ]
        )
        logger.info("Waiting for records in %s.", topic.full_name(settings.namespace))
        while not stop.is_set():
            for message in consumer.consume(BATCH, POLL_S):
                error, value = message.error(), message.value()
                if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise BrokerError(f"Kafka does not let {topic.name} be read.") from KafkaException(error)
                if error is not None and error.code() not in HARMLESS_IN_NO_GROUP:
                    logger.warning("Following %s: %s", topic.name, error.str())
                elif error is None and value is not None:
                    yield value
    finally:
        consumer.close()


def _note(error: KafkaError) -> None:
    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        logger.warning("Kafka is away (%s); waiting for it.", error.str())
