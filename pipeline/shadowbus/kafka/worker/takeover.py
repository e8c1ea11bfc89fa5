"""Step 1 of the loop, in a background thread: take the partitions over from whoever held them.

librdkafka removes a member that does not poll for `max.poll.interval.ms` from its group, and calls a member from inside
a poll when partitions come. So the work there must be quick, or a slow restore would never end: it happens here, while
the loop polls on and reads nothing.

In: the assigned partitions. Out: an `Assignment`. Guaranteed: no transaction of a previous owner is open any more, and
none can be opened; positions and state are those of the last commit; nothing was written.
"""

import contextlib
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Producer

from shadowbus.clock import Deadline
from shadowbus.errors import Retry
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.offsets import Partition
from shadowbus.kafka.worker.background import Background
from shadowbus.kafka.worker.call_watchdog import CallWatchdog
from shadowbus.kafka.worker.committed import CommittedPositions, committed_positions
from shadowbus.kafka.worker.fencing import committed_of, marked, owners_of, transactional_id
from shadowbus.kafka.worker.gc_tuning import let_go_of_clients
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.restore import restored_stage
from shadowbus.kafka.worker.transaction import Transactions, initialised
from shadowbus.settings import Settings
from shadowbus.stage import Stage

logger = logging.getLogger("shadowbus.worker")

ASK_SECONDS = 60.0
"""How long Kafka may take to name all positions; the longest wait is for the signature of a worker killed during it."""

GIVE_UP_SECONDS = 60.0
"""How long a stage may take for its last batch of records when a restore is given up."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker works with while it holds some partitions."""

    transactions: Transactions
    committed: CommittedPositions
    stage: Stage

    def close(self) -> None:
        """Let go of the stage and the producer."""
        self.stage.close()
        self.transactions.close()


class TakeOver:
    """A take-over that has begun.

    Args:
        job: What the worker runs.
        settings: How to reach Kafka, and the worker's settings.
        partitions: What was assigned.
        generation: The consumer's group metadata at that moment.
        errors: Collects what the producers report.
        watchdog: Watches calls that may hang.
        over: Set when the membership is over.
    """

    def __init__(
        self,
        job: Job,
        settings: Settings,
        partitions: Collection[Partition],
        generation: object,
        errors: ClientErrors,
        watchdog: CallWatchdog,
        over: threading.Event,
    ) -> None:
        self.job, self.settings, self.partitions = job, settings, partitions
        self.generation, self.errors, self.watchdog, self.over = generation, errors, watchdog, over
        self._unwanted = threading.Event()
        self._background = Background(self._prepare)

    @property
    def under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self._background.under_way

    def take(self) -> Assignment:
        """Return the assignment, or raise what went wrong."""
        return self._background.wait()

    def give_up(self) -> None:
        """End it and close what it opened. Takes as long as the stage needs for its last batch of records."""
        self._unwanted.set()
        with (
            self.watchdog.during("the restore of a stage", GIVE_UP_SECONDS),
            contextlib.suppress(Exception),  # nobody needs it any more, nor the reason why it failed
        ):
            self.take().close()

    def _prepare(self) -> Assignment:
        let_go_of_clients()
        deadline, group = Deadline.after(ASK_SECONDS), self.job.group(self.settings.namespace)
        committed = committed_of(make_admin(self.settings), group, deadline, stable=False)
        owners = owners_of(group, committed)
        self._fence(sorted({owners[place] for place in self.partitions if place in owners}))
        mine = transactional_id(group, {partition for _, partition in self.partitions}, set(owners.values()))
        producer = self._initialised(mine)
        self._check()
        positions = committed_positions(self.partitions, self.job, self.settings, deadline, self._check)
        stage = restored_stage(self.job, self.settings, positions, deadline, self._check)
        mark = partial(marked, names=self.job.topic_names(self.settings.namespace), ids=positions.ids)
        transactions = Transactions(mine, producer, self.generation, mark, self.watchdog, self.over)
        return Assignment(transactions, positions, stage)

    def _fence(self, owners: list[str]) -> None:
        """End the transactions of previous owners. One that only seems to be gone can write no more."""
        for owner in owners:
            self._initialised(owner)
            logger.info("%s ended what %s left", self.job.name, owner)

    def _initialised(self, transactional_id: str) -> Producer:
        return initialised(self.settings, transactional_id, self.errors, self.watchdog)

    def _check(self) -> None:
        if self._unwanted.is_set():
            raise Retry("the partitions were taken away before their state was restored")
