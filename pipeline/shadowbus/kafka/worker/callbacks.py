"""What a rebalance does inside `Consumer.consume`, and what it raises there."""

from collections.abc import Callable

from confluent_kafka import Consumer, TopicPartition

Rebalance = Callable[[Consumer, list[TopicPartition]], None]


class Callbacks:
    """Keeps what a callback raises for after the call it came in: until then librdkafka would go on to the next."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def kept(self, callback: Rebalance) -> Rebalance:
        """A callback that raises nothing; after a failure the consumer holds nothing, and no other one is called."""

        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if self.failure is None:
                try:
                    callback(consumer, partitions)
                except BaseException as error:
                    self.failure = error
            if self.failure is not None:
                consumer.unassign()

        return call

    def check(self) -> None:
        """Raise what was kept."""
        if self.failure is not None:
            raise self.failure
