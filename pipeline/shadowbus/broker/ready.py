"""What an embedded Kafka has to answer before it counts as serving, asked as any client would ask."""

import logging
from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

ANSWER_S = 0.5


def silent_client(bootstrap: str) -> AdminClient:
    """A client that keeps its tries to itself: that nobody answers yet is what it is asked to find out."""
    return AdminClient(_quiet(bootstrap))


def has_nodes(client: AdminClient, wanted: Collection[int]) -> bool:
    """Whether the cluster's metadata name all the nodes that are wanted."""
    try:
        return set(wanted) <= set(client.list_topics(timeout=ANSWER_S).brokers)
    except KafkaException:
        return False


def has_group_coordinator(bootstrap: str) -> bool:
    """Whether consumer groups can be used.

    Asking makes Kafka create the topic of committed offsets, which otherwise the first consumer group waits for: it
    then joined after 3.7 s instead of 0.3 s. A consumer asks, not an admin client: librdkafka ends the whole process
    when an admin request for a coordinator loses its connection (its issue 4605), as happens while a broker starts.
    """
    consumer = Consumer({"group.id": "shadowbus-ready", **_quiet(bootstrap)})
    try:
        consumer.committed([TopicPartition("any", 0)], timeout=ANSWER_S)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def _quiet(bootstrap: str) -> dict[str, Any]:
    silent = logging.Logger("shadowbus.kafka.silent", level=logging.CRITICAL + 1)
    quiet: dict[str, Any] = {"error_cb": lambda _error: None, "logger": silent}
    return {"bootstrap.servers": bootstrap, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, **quiet}
