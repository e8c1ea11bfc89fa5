"""What Kafka clients say on the side of their calls.

A wrong password or an expired certificate is only ever told to a callback; the calls that need the connection time out.
"""

from confluent_kafka import KafkaError, KafkaException, Producer

from shadowbus.clock import monotonic
from shadowbus.kafka.clients import plainly
from shadowbus.kafka.error_classes import REFUSALS

LATELY_S = 30.0
"""Longer than a call may take, and than the pauses between librdkafka's attempts to connect (10 s)."""


class Heard:
    """Keeps the last refusal, for those who look for the reason of a failure, and the last `words` that say why.

    `note` is given to clients as their `error_cb`.
    """

    def __init__(self) -> None:
        self._last: tuple[KafkaError, float] | None = None
        self.words, self._said = "nothing was heard of it", False

    def note(self, error: KafkaError) -> None:
        """A client says this; what is no refusal mends itself, or is raised where it matters."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._said:  # it only sums up what was said before
            self.words, self._said = plainly(error), True
        if error.code() in REFUSALS:
            self._last = (error, monotonic())

    def lately(self, producer: Producer | None = None) -> KafkaError | None:
        """Why nothing goes through, if something was said about it within `LATELY_S`.

        Args:
            producer: Its callbacks are served first; if it has failed for good, that is a reason.
        """
        if producer is not None:
            try:
                producer.poll(0)
            except KafkaException as error:
                self._last = (error.args[0], monotonic())
        if self._last is None or monotonic() - self._last[1] > LATELY_S:
            return None
        return self._last[0]
