"""Hands the records a stage returned to a producer, and waits where its queue is full. Part of step 4.

Guaranteed: no record goes out that its topic would refuse. Stages cap what they write; one that is too large all the
same ends the worker with a sentence, since it would come again after every restart.
"""

from confluent_kafka import KafkaError, KafkaException, Producer

from shadowbus import retries
from shadowbus.clock import Deadline
from shadowbus.errors import Retry, TooLarge
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import Settings
from shadowbus.stage import Outputs
from shadowbus.topology import MAX_RECORD_BYTES

SHOWN_KEY_BYTES = 100


class OutputWriter:
    """The writing side of the loop.

    Args:
        job: What the worker runs, and where it writes.
        settings: The namespace, and how long the producer's queue may stay full.
    """

    def __init__(self, job: Job, settings: Settings) -> None:
        self.stage, self.names = job.name, job.topic_names(settings.namespace)
        self.limits = job.limits()
        self.seconds = settings.worker.operation_seconds

    def hand_over(self, producer: Producer, outputs: Outputs) -> None:
        """Queue every record of `outputs`.

        Args:
            producer: It is in a transaction.
            outputs: What a stage returned.

        Raises:
            TooLarge: A record is larger than its topic or the producer takes.
            Retry: Kafka takes no records.
        """
        produce = producer.produce
        for topic, rows in outputs.records.items():
            name, limit = self.names[topic], self.limits[topic]
            for partition, key, value in rows:
                if value is not None and len(value) > limit:
                    raise self._too_large(name, key, value)
                try:
                    produce(name, value, key, partition)
                except (BufferError, KafkaException):
                    self._patiently(producer, name, partition, key, value, 0)
        for topic, stamped in outputs.stamped.items():
            name, limit = self.names[topic], self.limits[topic]
            for partition, key, value, at_ms in stamped:
                if value is not None and len(value) > limit:
                    raise self._too_large(name, key, value)
                try:
                    produce(name, value, key, partition, timestamp=at_ms)
                except (BufferError, KafkaException):
                    self._patiently(producer, name, partition, key, value, at_ms)

    def _patiently(
        self, producer: Producer, name: str, partition: int, key: bytes | None, value: bytes | None, at_ms: int
    ) -> None:
        """Queue a record that was not taken, as soon as there is room for it; waiting is what makes room."""
        try:
            retries.again(
                lambda: producer.produce(name, value, key, partition, timestamp=at_ms),
                Deadline.after(self.seconds),
                passes=lambda error: isinstance(error, BufferError),
                sleep=producer.poll,
            )
        except BufferError:
            raise Retry("Kafka takes no records: the send queue stays full.") from None
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise self._too_large(name, key, value) from error
            raise

    def _too_large(self, name: str, key: bytes | None, value: bytes | None) -> TooLarge:
        shown = (key or b"")[:SHOWN_KEY_BYTES].decode("utf-8", "backslashreplace")
        size = len(key or b"") + len(value or b"")
        return TooLarge(
            f"{self.stage} made a record of {size} bytes for {name} under the key {shown!r}, and no record that large "
            f"fits there. If message.max.bytes in [kafka] is below {MAX_RECORD_BYTES}, raise it; if not, report a bug."
        )
