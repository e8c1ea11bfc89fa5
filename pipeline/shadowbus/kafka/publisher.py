"""Single records, written and acknowledged one at a time: what a person or a notification did, not what flows."""

import contextlib
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_producer, plainly
from shadowbus.settings import Settings
from shadowbus.topology import Topic

LEAVE_S = 5.0


class Publisher:
    """Writes records to topics of the namespace; `write` returns when all brokers in charge have one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = make_producer(settings, **{"enable.idempotence": True, "linger.ms": 0})

    def write(self, topic: Topic, key: bytes, value: bytes, deadline: Deadline, partition: int = -1) -> None:
        """Write one record.

        Args:
            topic: Where to.
            key: The record's key.
            value: The record's value.
            deadline: By when it has to be acknowledged.
            partition: Which one; else that of the key.

        Raises:
            BrokerError: It was not acknowledged in time; it may be there all the same.
        """
        name, failures, done = topic.full_name(self._settings.namespace), list[KafkaError](), list[Message]()

        def delivered(error: KafkaError | None, message: Message) -> None:
            done.append(message)
            if error is not None:
                failures.append(error)

        try:
            self._producer.produce(name, value, key, partition, on_delivery=delivered)
            while not done and not deadline.passed:
                self._producer.poll(min(0.2, deadline.remaining()))
        except (KafkaException, BufferError) as error:
            raise BrokerError(f"A record for {name} could not be written: {plainly(error)}.") from error
        if failures:
            raise BrokerError(f"A record for {name} could not be written: {plainly(failures[0])}.") from KafkaException(
                failures[0]
            )
        if not done:
            raise BrokerError(f"Kafka did not acknowledge a record for {name} in time.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._producer.purge()
        with contextlib.suppress(KafkaException):  # a producer that met a fatal error refuses everything
            self._producer.flush(LEAVE_S)
