"""What Kafka says about topics, groups and itself when asked: settings, and what this user may do."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, ResourceType

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import plainly
from shadowbus.kafka.reaching import Admin, reach

Rights = frozenset[str] | None
"""What this user may do with something, in Kafka's words; None where Kafka does not say."""


def describe_topics(
    admin: Admin, names: Iterable[str], deadline: Deadline
) -> tuple[dict[str, tuple[int, Rights]], frozenset[str]]:
    """The number of partitions and the rights of each topic that exists; and those this user may not know of.

    Raises:
        BrokerError: Kafka does not answer.
    """
    reach(admin)
    asked = admin.describe_topics(
        TopicCollection(list(names)),
        include_authorized_operations=True,
        request_timeout=max(1.0, deadline.remaining()),
    )
    found: dict[str, tuple[int, Rights]] = {}
    forbidden: set[str] = set()
    for name, future in asked.items():
        try:
            topic = future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                forbidden.add(name)
            elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"Kafka does not describe {name}: {plainly(error)}.") from error
        else:
            found[name] = (len(topic.partitions), rights_of(topic))
    return found, frozenset(forbidden)


def describe_configs(
    admin: Admin, kind: ResourceType, names: Iterable[str], deadline: Deadline
) -> dict[str, dict[str, str]]:
    """The settings of topics or brokers, by name.

    Raises:
        BrokerError: Kafka does not show them.
    """
    resources = [ConfigResource(kind, name) for name in names]
    if not resources:
        return {}
    found: dict[str, dict[str, str]] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=max(1.0, deadline.remaining())).items():
        try:
            entries = future.result()
        except KafkaException as error:
            raise BrokerError(_hidden(resource, error)) from error
        found[resource.name] = {key: entry.value for key, entry in entries.items() if entry.value is not None}
    return found


def topic_configs(admin: Admin, names: Iterable[str], deadline: Deadline) -> dict[str, dict[str, str]]:
    """The settings of topics, by name.

    Raises:
        BrokerError: Kafka does not show them.
    """
    return describe_configs(admin, ResourceType.TOPIC, names, deadline)


def broker_config(admin: Admin, deadline: Deadline) -> dict[str, str]:
    """The settings of one broker.

    Raises:
        BrokerError: Kafka does not show them.
    """
    one = str(min(reach(admin, max(1.0, deadline.remaining())).brokers))
    return describe_configs(admin, ResourceType.BROKER, [one], deadline)[one]


def group_rights(admin: Admin, groups: Iterable[str], deadline: Deadline) -> dict[str, Rights]:
    """What this user may do with each group; nothing is known of one that was never used.

    Raises:
        BrokerError: Kafka does not answer.
    """
    found: dict[str, Rights] = {}
    for group in groups:
        asked = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=max(1.0, deadline.remaining())
        )
        try:
            found[group] = rights_of(asked[group].result())
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
                found[group] = frozenset()
            elif code == KafkaError.GROUP_ID_NOT_FOUND:
                found[group] = None
            else:
                raise BrokerError(f"Kafka does not describe the group {group}: {plainly(error)}.") from error
    return found


def rights_of(described: Any) -> Rights:
    """The authorized operations of a description, by name."""
    operations = described.authorized_operations
    return None if operations is None else frozenset(operation.name for operation in operations)


def _hidden(resource: ConfigResource, error: KafkaException) -> str:
    what = "the cluster" if resource.restype is ResourceType.BROKER else f"topic {resource.name}"
    if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
        return f"Kafka does not let this user DESCRIBE_CONFIGS {what}."
    return f"Kafka does not show the settings of {what}: {plainly(error)}."
