"""Errors that Kafka clients report only to a callback.

A wrong password or an expired certificate is never raised by the calls that need the connection: those time out.
"""

from confluent_kafka import KafkaError, KafkaException, Producer

from shadowbus.clock import monotonic
from shadowbus.kafka.clients import plainly
from shadowbus.kafka.error_classes import REFUSALS

RECENT_S = 30.0
"""Longer than a call may take, and than the pauses between librdkafka's attempts to connect (10 s)."""


class ClientErrors:
    """Keeps the last refusal, as the reason of a failure that follows, and the last `words` that say why.

    Pass `note` to clients as their `error_cb`.
    """

    def __init__(self) -> None:
        self._last: tuple[KafkaError, float] | None = None
        self.words, self._said = "no client reported a reason", False

    def note(self, error: KafkaError) -> None:
        """Note what a client reports. What is not a refusal passes by itself, or is raised where it matters."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._said:  # it only sums up earlier errors
            self.words, self._said = plainly(error), True
        if error.code() in REFUSALS:
            self._last = (error, monotonic())

    def recent(self, producer: Producer | None = None) -> KafkaError | None:
        """The refusal of the last `RECENT_S`, if there was one.

        Args:
            producer: Its callbacks are served first; if it has failed for good, that is the reason.
        """
        if producer is not None:
            try:
                producer.poll(0)
            except KafkaException as error:
                self._last = (error.args[0], monotonic())
        if self._last is None or monotonic() - self._last[1] > RECENT_S:
            return None
        return self._last[0]
