"""The transactions of one worker while it holds its partitions: the only file with Kafka's transaction calls.

In: records and input positions. Out: committed readers see both as one, or neither. Steps 4 and 5 of the loop, and the
part of step 1 that ends what a previous owner left open.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import Retry
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_transactional_producer
from shadowbus.kafka.error_classes import again
from shadowbus.kafka.worker.background import Background
from shadowbus.kafka.worker.call_watchdog import CallWatchdog
from shadowbus.kafka.worker.failpoints import reached
from shadowbus.settings import Settings
from shadowbus.stage import Input

TRY_SECONDS = 5.0
"""The timeout of one call that sends positions, which may hang (see `call_watchdog.py`); the next call continues it."""

PAUSE_RATIO = 3
"""After a commit the next one waits at least this many times as long as it took, to leave time for the work between."""

MOST_PAUSE_SECONDS = 1.0
"""The longest such wait: a commit that took as long as an outage is no reason to be late once more."""


def initialised(settings: Settings, transactional_id: str, errors: ClientErrors, watchdog: CallWatchdog) -> Producer:
    """A producer under this id. Kafka aborts what another left open under it, and refuses whatever that still sends.

    Raises:
        KafkaException: Kafka refuses, or did not answer in time.
    """
    producer = make_transactional_producer(settings, transactional_id, errors.note)
    with watchdog.during("init_transactions"):
        try:
            again(producer.init_transactions, Deadline.after(settings.worker.operation_seconds))
        except KafkaException:
            errors.recent(producer)  # its callbacks may know why
            raise
    return producer


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that went through: its positions, when it began (monotonic seconds), and how many seconds it took."""

    positions: Mapping[Input, int]
    began: float
    seconds: float

    def next_at(self, interval_s: float) -> float:
        """When the next commit is due, in monotonic seconds."""
        pause = min(PAUSE_RATIO * self.seconds, MOST_PAUSE_SECONDS)
        return self.began + max(interval_s, self.seconds + pause)


class Transactions:
    """One transaction after the other over one producer.

    Args:
        transactional_id: The id that the producer writes under.
        producer: Initialised.
        generation: The consumer's group metadata as it was when the partitions were assigned.
        mark: Makes positions what Kafka takes, given whose transaction may be open there from then on.
        watchdog: Watches calls that may hang.
        over: Set when the membership is over; a commit that has not reached Kafka by then must not.
    """

    def __init__(
        self,
        transactional_id: str,
        producer: Producer,
        generation: object,
        mark: Callable[[Mapping[Input, int], str], list[TopicPartition]],
        watchdog: CallWatchdog,
        over: threading.Event,
    ) -> None:
        self.id, self.producer = transactional_id, producer
        self.open = False
        self._generation, self._mark = generation, mark
        self._watchdog, self._over = watchdog, over
        self._commit: Background[Commit] | None = None

    @property
    def committing(self) -> bool:
        """Whether a commit is under way."""
        return self._commit is not None and self._commit.under_way

    def begun(self) -> Producer:
        """The producer, in a transaction."""
        if not self.open:
            self.producer.begin_transaction()
            self.open = True
        return self.producer

    def commit(self, positions: Mapping[Input, int], owner: str, deadline: Deadline) -> None:
        """Start step 5 in the background: commit what was produced together with these positions.

        Args:
            positions: Never empty, as it is with them that Kafka checks who owns the partitions.
            owner: Whose transaction may be open in these partitions from now on.
            deadline: When to give up.
        """
        producer, positions, began = self.begun(), dict(positions), monotonic()
        offsets = self._mark(positions, owner)

        def send_offsets(left: float) -> None:
            if self._over.is_set():  # tried on, it would succeed when a deleted topic is created again
                raise Retry("this membership is over")
            with self._watchdog.during("send_offsets_to_transaction", TRY_SECONDS + 3):
                producer.send_offsets_to_transaction(offsets, self._generation, min(left, TRY_SECONDS))

        def run() -> Commit:
            reached("before-offsets", producer.flush)
            again(send_offsets, deadline)
            reached("before-commit", producer.flush)
            with self._watchdog.during("commit_transaction"):
                again(producer.commit_transaction, deadline)
            return Commit(positions, began, monotonic() - began)

        self._commit = Background(run)

    def wait(self) -> Commit | None:
        """Wait for the commit, if one was started.

        Raises:
            KafkaException: It failed.
            Retry: The membership is over.
        """
        if self._commit is None:
            return None
        commit, self._commit = self._commit, None
        ended = commit.wait()
        self.open = False
        return ended

    def abort(self, deadline: Deadline) -> None:
        """Abort what is open; after `wait`."""
        if self.open:
            self.open = False
            with contextlib.suppress(KafkaException), self._watchdog.during("abort_transaction"):
                self.producer.abort_transaction(max(1.0, deadline.remaining()))

    def close(self) -> None:
        """Let go of the producer."""
        with contextlib.suppress(KafkaException):  # a fenced producer refuses everything
            self.producer.purge()
            self.producer.flush(0)

    def reason_of(self, error: KafkaException) -> KafkaException:
        """Why a transaction fails, where librdkafka only says that its state is erroneous; else the error itself."""
        if error.args[0].code() != KafkaError._STATE:
            return error
        try:
            self.producer.begin_transaction()  # refused, as one is open: with the reason why that one failed
        except KafkaException as reason:
            return reason
        return error
