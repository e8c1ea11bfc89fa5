"""Topics in Kafka against topics in `topology.py`: what is missing, what differs, and creating what is missing.

Nothing that exists is ever altered.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, plainly
from shadowbus.kafka.reaching import existing_topics
from shadowbus.settings import Settings
from shadowbus.topology import Topic, topic_names


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic is not as it should be."""

    topic: str
    what: str
    wanted: str
    found: str


def wanted_topics(settings: Settings) -> dict[str, Topic]:
    """Every topic these settings need, by full name."""
    return topic_names(settings.namespace, tuple(shadow.name for shadow in settings.shadow))


def check_topics(settings: Settings) -> list[Difference]:
    """Compare every topic with what it should be; empty when all is well.

    Raises:
        BrokerError: Kafka does not answer.
    """
    admin = make_admin(settings)
    wanted = wanted_topics(settings)
    existing = existing_topics(admin, wanted)
    differences = [Difference(name, "topic", "exists", "missing") for name in wanted if name not in existing]
    present = {name: topic for name, topic in wanted.items() if name in existing}
    for name in present:
        partitions = len(existing[name].partitions)
        if partitions != settings.partitions:
            differences.append(Difference(name, "partitions", str(settings.partitions), str(partitions)))
    for name, config in _configs(settings, present).items():
        differences += [
            Difference(name, key, value, config.get(key, "not set"))
            for key, value in present[name].config().items()
            if config.get(key) != value
        ]
    return sorted(differences, key=lambda difference: difference.topic)


def missing_topics(settings: Settings) -> set[str]:
    """The topics these settings need that Kafka does not have, by full name.

    Raises:
        BrokerError: Kafka does not answer.
    """
    wanted = wanted_topics(settings)
    return wanted.keys() - existing_topics(make_admin(settings), wanted).keys()


def create_topics(settings: Settings, only: Collection[str] | None = None) -> list[str]:
    """Create what is missing; returns the names created. Safe to call from several processes at once.

    Args:
        settings: Which topics there have to be.
        only: Full names; all that these settings need where it is None.

    Raises:
        BrokerError: Kafka does not answer, or refuses a topic.
    """
    admin = make_admin(settings)
    wanted = {name: topic for name, topic in wanted_topics(settings).items() if only is None or name in only}
    existing = existing_topics(admin, wanted)
    new = [
        NewTopic(
            name, num_partitions=settings.partitions, replication_factor=settings.replication, config=topic.config()
        )
        for name, topic in wanted.items()
        if name not in existing
    ]
    created: list[str] = []
    for name, future in (admin.create_topics(new) if new else {}).items():
        try:
            future.result(timeout=30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"Kafka refuses to create {name}: {plainly(error)}.") from error
        else:
            created.append(name)
    return sorted(created)


def _configs(settings: Settings, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    admin = make_admin(settings)
    try:
        return {
            resource.name: {key: entry.value for key, entry in future.result(timeout=30).items()}
            for resource, future in admin.describe_configs(resources).items()
        }
    except KafkaException as error:
        raise BrokerError(f"Kafka does not show the topics' settings: {plainly(error)}.") from error
