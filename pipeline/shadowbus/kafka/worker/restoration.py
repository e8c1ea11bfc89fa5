"""The part of step 1 that may take long, in a thread of its own: the worker stays in its group while it goes on.

librdkafka takes a member that does not poll for `max.poll.interval.ms` out of its group, and calls it from inside a
poll when partitions come. What is done there has to be quick, or a restore that is slower than that never ends.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer

from shadowbus.errors import Retry
from shadowbus.kafka.worker.background import Aside
from shadowbus.kafka.worker.restore import Standing
from shadowbus.stage import Stage


@dataclass(frozen=True, slots=True)
class Restored:
    """What a worker works with while it holds some partitions.

    `id` is what its `producer` writes transactions under; `standing` is where it went on, and `stage` what it runs.
    """

    id: str
    producer: Producer
    standing: Standing
    stage: Stage

    def close(self) -> None:
        """Let go of the stage and the producer."""
        self.stage.close()
        with contextlib.suppress(KafkaException):  # a producer that was fenced refuses everything
            self.producer.purge()
            self.producer.flush(0)


class Restoration:
    """A restore that has begun.

    Args:
        prepare: Does it. It is given what to call now and then, which raises when the restore is no longer wanted.
    """

    def __init__(self, prepare: Callable[[Callable[[], None]], Restored]) -> None:
        self._unwanted = threading.Event()
        self._aside = Aside(lambda: prepare(self._check))

    @property
    def under_way(self) -> bool:
        """Whether there is nothing to take yet."""
        return self._aside.under_way

    def take(self) -> Restored:
        """What was restored; or raises what was raised on the way."""
        return self._aside.wait()

    def give_up(self) -> None:
        """End it, and let go of what it has. Takes as long as the stage needs for the records it was given last."""
        self._unwanted.set()
        with contextlib.suppress(Exception):  # nobody asks for it any more, nor why it failed
            self.take().close()

    def _check(self) -> None:
        if self._unwanted.is_set():
            raise Retry("the partitions were taken away before their state was restored")
