"""Follow a topic as it grows: what is committed, in nobody's group, without leaving a trace in Kafka.

While Kafka is away it waits, and says so. What would fail for ever ends it: a topic that is gone, a right that was
taken away, a password that is no longer right.
"""

import logging
import threading
from collections.abc import Generator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_admin, make_reader
from shadowbus.kafka.error_classes import HARMLESS_IN_NO_GROUP, action_for, as_next_action
from shadowbus.kafka.read.offsets import bounds
from shadowbus.settings import Settings
from shadowbus.topology import Topic

BATCH = 500
POLL_S = 0.2
SILENCE_S = 5.0
PROBE_S = 2.0

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
        BrokerError: The topic is missing, Kafka did not answer at the beginning, or refuses to let it be read.
    """
    limits, heard = bounds(make_admin(settings), [topic.full_name(settings.namespace)], deadline), ClientErrors()

    def note(error: KafkaError) -> None:
        heard.note(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            logger.warning("Kafka is away (%s); waiting for it.", error.str())

    consumer = make_reader(settings, **{"enable.partition.eof": False, "error_cb": note})
    refused = f"to let {topic.full_name(settings.namespace)} be read"
    try:
        consumer.assign(
            [
                TopicPartition(name, partition, limit.first if from_beginning else limit.committed_end)
                for (name, partition), limit in limits.items()
            ]
        )
        logger.info("Waiting for records in %s.", topic.full_name(settings.namespace))
        silence = Deadline.after(SILENCE_S)
        while not stop.is_set():
            values: list[bytes] = []
            with as_next_action(refused, heard.recent):
                for message in consumer.consume(BATCH, POLL_S):
                    error, value, silence = message.error(), message.value(), Deadline.after(SILENCE_S)
                    if error is not None and error.code() not in HARMLESS_IN_NO_GROUP:
                        _tell(topic, error)
                    if error is None and value is not None:
                        values.append(value)
                if silence.passed:
                    silence = Deadline.after(SILENCE_S)
                    _look(consumer, heard)
            yield from values
    finally:
        consumer.close()


def _tell(topic: Topic, error: KafkaError) -> None:
    if action_for(error) is BrokerError:
        raise KafkaException(error)
    logger.warning("Following %s: %s", topic.name, error.str())


def _look(consumer: Consumer, heard: ClientErrors) -> None:
    """Where nothing comes, see whether that is because Kafka refuses to talk; one that is away is waited for."""
    try:
        consumer.list_topics(timeout=PROBE_S)
    except KafkaException:
        if heard.recent() is not None:
            raise
