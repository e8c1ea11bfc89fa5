"""What an embedded Kafka has to answer before it counts as serving, asked as any client would ask."""

import logging
from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

ANSWER_S = 0.5


def silent_client(bootstrap: str) -> AdminClient:
    """A client that keeps its tries to itself: that nobody answers yet is what it is asked to find out."""
    silent = logging.Logger("shadowbus.kafka.silent", level=logging.CRITICAL + 1)
    quiet: dict[str, Any] = {"error_cb": lambda _error: None, "logger": silent}
    return AdminClient(
        {"bootstrap.servers": bootstrap, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, **quiet}
    )


def has_nodes(client: AdminClient, wanted: Collection[int]) -> bool:
    """Whether the cluster's metadata name all the nodes that are wanted."""
    try:
        return set(wanted) <= set(client.list_topics(timeout=ANSWER_S).brokers)
    except KafkaException:
        return False


def has_group_coordinator(client: AdminClient) -> bool:
    """Whether consumer groups can be used.

    Asking makes Kafka create the topic of committed offsets, which otherwise the first consumer group waits for: it
    then joined after 3.7 s instead of 0.3 s.
    """
    try:
        client.describe_consumer_groups(["any"], request_timeout=ANSWER_S)["any"].result()
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
    return True
