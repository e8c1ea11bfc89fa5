"""Where partitions end now: once for a restore, or again and again over one connection, from any thread."""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.clients import make_admin, plainly
from shadowbus.kafka.error_classes import again, as_next_action
from shadowbus.kafka.read.offsets import LATEST, offset_of
from shadowbus.settings import Settings
from shadowbus.stage import Input
from shadowbus.topology import Topic

_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


def end_offsets(
    settings: Settings, names: Mapping[str, str], inputs: list[Input], deadline: Deadline
) -> dict[Input, int]:
    """The end of each partition, open transactions included.

    A restore must read this far: behind another worker's open transaction there may be committed state of this one.

    Raises:
        BrokerError: Kafka refuses to say.
        Retry: Kafka did not answer in time.
    """
    wanted = {TopicPartition(names[topic], partition): LATEST for topic, partition in inputs}

    def ask(seconds: float) -> dict[tuple[str, int], int]:
        admin = make_admin(settings)  # a new one: librdkafka goes on asking the previous leaders
        futures = admin.list_offsets(wanted, request_timeout=max(1.0, seconds))
        return {(tp.topic, tp.partition): offset_of(future.result(), tp) for tp, future in futures.items()}

    with as_next_action("to say where the state ends"):
        found = again(ask, deadline)
    return {(topic, partition): found[names[topic], partition] for topic, partition in inputs}


class Ends:
    """The ends of all partitions of some topics of one namespace."""

    def __init__(self, settings: Settings, topics: Sequence[Topic]) -> None:
        self._names = {topic.full_name(settings.namespace): topic.name for topic in topics}
        self._partitions, self._settings = range(settings.partitions), settings
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()  # two clients at once, and the one that is not kept cancels what it was asked

    def look(self, seconds: float) -> dict[Input, int]:
        """Where each partition ends, open transactions included; one that does not exist ends at 0.

        Args:
            seconds: How long Kafka may take to answer.

        Raises:
            BrokerError: This user may not ask.
            Retry: Kafka did not answer in time.
        """
        deadline = Deadline.after(seconds)
        try:
            with self._lock:
                return self._look(deadline)
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BrokerError(
                    f"Kafka does not tell where the topics end ({plainly(error)}): this user needs the right DESCRIBE "
                    f"on {', '.join(self._names)}."
                ) from error
            raise Retry(f"Kafka did not say where the partitions end: {plainly(error)}.") from error

    def _look(self, deadline: Deadline) -> dict[Input, int]:
        if self._admin is not None:
            # librdkafka goes on asking with what a client knew of leaders before they changed; a new one knows better.
            with contextlib.suppress(KafkaException):
                return self._ask(self._admin, deadline)
        self._admin, admin = None, make_admin(self._settings)
        found = self._ask(admin, deadline)
        self._admin = admin
        return found

    def _ask(self, admin: AdminClient, deadline: Deadline) -> dict[Input, int]:
        wanted = {TopicPartition(name, partition): LATEST for name in self._names for partition in self._partitions}
        asked = admin.list_offsets(wanted, request_timeout=max(1.0, deadline.remaining()))
        return {(self._names[tp.topic], tp.partition): _end(answer.result, tp) for tp, answer in asked.items()}


def _end(result: Callable[[], ListOffsetsResultInfo], place: TopicPartition) -> int:
    try:
        return offset_of(result(), place)
    except KafkaException as error:
        if error.args[0].code() in _ABSENT:
            return 0
        raise
