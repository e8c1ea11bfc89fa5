"""Which topics these are, and whether they are laid out as the settings say.

A topic that is deleted and made anew has the same name and another id. Offsets and state that belong to the old one say
nothing about the new one, even where they would fit.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from shadowbus import retries
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.error_classes import again
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings

NEWS_SECONDS = 5.0
"""How long the news of a new topic may take to every broker."""

MISSING_SECONDS = 1.0
"""The same at the start of a worker, which has topics that were there before it."""

ASK_S = 1.0
"""How often to ask whether the topics are still the same."""


def topic_ids(job: Job, settings: Settings, deadline: Deadline) -> dict[str, str]:
    """The ids of all topics of a job, by their names in the topology.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka, and how many partitions every topic of the namespace has to have.
        deadline: By when Kafka has to have answered.

    Raises:
        BrokerError: A topic is missing, or has another number of partitions than the settings say.
        KafkaException: Kafka does not say.
    """
    names = job.topic_names(settings.namespace)
    elsewhere = {topic.name for topic in job.inputs if topic.elsewhere}
    found = _found(settings, names, deadline)
    for name, topic in found.items():
        count = len(topic.partitions)
        if count != settings.partitions and name not in elsewhere:
            raise BrokerError(
                f"The topic {names[name]} has {count} partitions, and {settings.source} says partitions = "
                f"{settings.partitions}, so the two halves of a request would not meet. If the setting was changed, "
                "set it back; if the topic was, start over in a new namespace."
            )
    return {name: str(topic.topic_id) for name, topic in found.items()}


def require_topics(admin: AdminClient, names: Mapping[str, str]) -> None:
    """Say so at once where a topic is missing, as the client itself would wait for it and say nothing.

    Args:
        admin: Asks.
        names: Full topic names by their names in the topology.

    Raises:
        BrokerError: Topics are missing. Not where Kafka does not answer, or not yet: that is waited for elsewhere.
    """
    try:
        found = retries.again(
            lambda: _asked(admin, names, MISSING_SECONDS),
            Deadline.after(MISSING_SECONDS),
            settled=lambda found: None not in found.values(),
        )
    except KafkaException:
        return
    if missing := [names[name] for name, topic in found.items() if topic is None]:
        raise BrokerError(missing_sentence(missing))


def missing_sentence(missing: Sequence[str]) -> str:
    """What is missing, and what to do about it.

    >>> missing_sentence(["churn.labels"])
    'The topic churn.labels is missing: create it with `shadowbus topics --create`.'
    """
    if len(missing) == 1:
        return f"The topic {missing[0]} is missing: create it with `shadowbus topics --create`."
    return f"The topics {', '.join(sorted(missing))} are missing: create them with `shadowbus topics --create`."


class TopicWatch:
    """Notices that a topic was deleted, or made anew, while it is read or written.

    librdkafka goes on in the new one where the position fits, waits for one that is gone, and says nothing. So Kafka is
    asked every second, without waiting for the answer; what was read meanwhile belonged to requests all the same.

    Args:
        admin: Asks.
        names: Full topic names by their names in the topology.
    """

    def __init__(self, admin: AdminClient, names: Mapping[str, str]) -> None:
        self.admin, self.names = admin, names
        self.asked: Mapping[str, Future[Any]] = {}
        self.ask_at = 0.0
        self.gone: set[str] = set()

    def check(self, ids: Mapping[str, str], now: float) -> None:
        """Hear the last answer, if it is there, and ask again when it is time.

        Args:
            ids: The ids of the topics as they were when the partitions were assigned, by their names in the topology.
            now: Monotonic seconds.

        Raises:
            Retry: A topic has another id, or Kafka has said twice that there is none. A start names it, if it is so.
        """
        if all(future.done() for future in self.asked.values()):
            gone = {name for name, future in self.asked.items() if self._is_gone(name, future, ids)}
            if again_gone := gone & self.gone:
                raise Retry(f"{self.names[min(again_gone)]} is gone")
            self.gone = gone if self.asked else self.gone
            self.asked = {}
        if not self.asked and now >= self.ask_at:
            self.ask_at = now + ASK_S
            futures = self.admin.describe_topics(TopicCollection(list(self.names.values())))
            self.asked = {name: futures[full] for name, full in self.names.items()}

    def _is_gone(self, name: str, future: Future[Any], ids: Mapping[str, str]) -> bool:
        try:
            topic = future.result()
        except KafkaException as error:  # anything else Kafka cannot say now, or the consumer will
            return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)
        if name in ids and str(topic.topic_id) != ids[name]:
            raise Retry(f"{self.names[name]} was made anew")
        return False

    def forget(self) -> None:
        """Other topics are read from now on, or none."""
        self.asked, self.gone = {}, set()


def _found(settings: Settings, names: dict[str, str], deadline: Deadline) -> dict[str, Any]:
    admin = make_admin(settings)
    found = retries.again(
        lambda: again(lambda left: _asked(admin, names, left), deadline),
        Deadline.after(NEWS_SECONDS),
        settled=lambda found: None not in found.values(),
    )
    if missing := [names[name] for name, topic in found.items() if topic is None]:
        raise BrokerError(missing_sentence(missing))
    return found


def _asked(admin: Any, names: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """What Kafka says of each topic; None for one that it does not have."""
    futures = admin.describe_topics(TopicCollection(list(names.values())), request_timeout=seconds)
    found: dict[str, Any] = {}
    for name, full in names.items():
        try:
            found[name] = futures[full].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            found[name] = None
    return found
