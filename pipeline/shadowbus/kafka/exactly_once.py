"""The one loop that runs any stage exactly once. The only file with transactions.

One membership of the consumer group goes through these steps; `docs/architecture.md` says for each what is true after
a crash there.

1. Join the group. When partitions are assigned: end what their last owner left open, find where the last commit left
   each input, restore the stage's state up to there, sign, and only then take input.
2. Consume a batch.
3. Let the stage process it. What comes back carries the input positions it accounts for.
4. Produce it, inside a transaction that began with the first record.
5. When it is time: send the positions to the transaction, and commit. Records and positions become visible as one.
   Meanwhile 2 goes on; what it brings lies ready, and the stage sees none of it before 6.
6. Tell the stage, so that it may write local state.

When partitions are revoked: drain the stage, do 4 to 6 for what is left without a signature, drop the stage. When they
are lost, or anything in a transaction fails: abort, drop the stage, leave, and start again at 1 from what is committed.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.errors import BrokerError, Fenced, Retry
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.serve import exported
from shadowbus.kafka.aside import Aside
from shadowbus.kafka.assignment import RESTORE_SECONDS, Standing, restored_stage, standing_of
from shadowbus.kafka.attempt import reason_of
from shadowbus.kafka.callbacks import Callbacks
from shadowbus.kafka.clients import make_member, make_transactional_producer
from shadowbus.kafka.complaints import again, as_next_action
from shadowbus.kafka.fault_points import Reached, fault_of
from shadowbus.kafka.garbage import calm_the_collector
from shadowbus.kafka.intake import Intake
from shadowbus.kafka.job import Job
from shadowbus.kafka.outgoing import Outgoing
from shadowbus.kafka.owners import NOBODY, marked, owners_of, transactional_id
from shadowbus.kafka.patience import Patience
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, Stage

logger = logging.getLogger("shadowbus.exactly_once")

TRY_SECONDS = 5.0
"""In steps, since it may never come back (see `patience.py`); it goes on where the last step left it."""

IDLE_SECONDS, BUSY_SECONDS = 0.02, 0.005
"""How long to wait for input; the shorter one while the stage owes an answer, or Kafka does."""
TICK_SECONDS = 0.05
COMMIT_PAUSE = 3
"""So many times as long as a commit took, the next one waits at least: reading, a quarter of the work, fills that."""
MOST_PAUSE_SECONDS = 1.0
"""And no longer: a commit that took as long as an outage is no reason to be late once more."""
READ_AHEAD = 8
"""How many batches may lie ready while a transaction ends; by so much a stage may get more than it asked for."""


def run(job: Job, settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Run a stage until `stop` is set; whatever passes by itself is waited out.

    Args:
        job: What to run.
        settings: How to reach Kafka, and the worker's settings.
        stop: Set it to end after a last commit.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.

    Raises:
        BrokerError: A topic or a right is missing; a person has to act.
        StateCorruptError: Kept state contradicts itself.
        TooLarge: The stage made a record that its topic does not take.
    """
    calm_the_collector()
    reached = fault_of(os.environ)
    meter, pause = Meter(job.name, job.shadow, worker_id), 0.2
    with exported(settings.metrics, meter, patience=RESTORE_SECONDS + settings.worker.operation_seconds):
        while not stop.is_set():
            membership = _Membership(job, settings, worker_id, reached, meter)
            started = monotonic()
            try:
                membership.serve(stop)
            except Retry as error:
                meter.began_again += 1
                pause = 0.2 if monotonic() - started > 30 else min(pause * 2, 5.0)
                logger.warning("%s starts again from what is committed: %s", job.name, error)
                stop.wait(pause)


class _Membership:
    """One membership of the group: a consumer, a producer, and the stage over the partitions held."""

    def __init__(self, job: Job, settings: Settings, worker_id: str, reached: Reached, meter: Meter) -> None:
        self.job, self.settings, self.worker_id, self.reached = job, settings, worker_id, reached
        self.meter = meter
        self.group = job.group(settings.namespace)
        self.id = transactional_id(self.group, worker_id)
        self.names, self.outgoing = job.topic_names(settings.namespace), Outgoing(job, settings)
        self.stage: Stage | None = None
        self.standing = Standing()
        self.generation: object = None
        self.callbacks = Callbacks()
        self.in_transaction, self.commit_at = False, 0.0
        self.ending: Aside | None = None
        self.sent: Mapping[Input, int] = {}  # the positions that it commits
        self.patience = Patience(settings.worker.operation_seconds + 5)
        self.consumer: Consumer
        self.producer: Producer
        self.intake: Intake

    def serve(self, stop: threading.Event) -> None:
        """Join, work until `stop` is set or the membership is over, leave."""
        self.producer = make_transactional_producer(self.settings, self.id)
        self.consumer = make_member(self.settings, self.group, self.worker_id)
        self.intake = Intake(self.consumer, self.settings, self.names)
        try:
            require_topics(self.intake.watch.admin, self.names)
            with as_next_action(self.job.name):
                self.producer.init_transactions(self.settings.worker.operation_seconds)
                self.consumer.subscribe(  # 1
                    [self.names[topic.name] for topic in self.job.inputs],
                    on_assign=self.callbacks.kept(self._assigned),
                    on_revoke=self.callbacks.kept(self._revoked),
                    on_lost=self.callbacks.kept(self._lost),
                )
                try:
                    self._work(stop)
                except KafkaException as error:
                    raise reason_of(self.producer, error) from error
        except BrokerError:
            require_topics(self.intake.watch.admin, self.names)  # where that is the reason, it says it best
            raise
        finally:
            self._leave()

    def _work(self, stop: threading.Event) -> None:
        tick_at, ahead = 0.0, self.intake.ahead
        while not stop.is_set():
            self.meter.turned(monotonic())
            under_way = self.ending is not None and self.ending.under_way
            messages = self._consume(owing=under_way) if under_way or not ahead else None  # 2
            if self.stage is None:
                self.intake.heed(messages or ())
                self.intake.watch.check({}, monotonic())
                continue
            if messages is not None:
                self.intake.take(messages)
            if under_way and len(ahead) < READ_AHEAD:
                continue
            self._ended()  # 6
            if batch := ahead.popleft() if ahead else []:
                self.meter.took(batch)
                self._produce(self.stage.process(batch, now_ms()))  # 3
            now = monotonic()
            if not ahead and (now >= tick_at or not batch):  # lags do not count what lies ready
                tick_at = now + TICK_SECONDS
                self.intake.watch.check(self.standing.ids, now)
                self.meter.lags = self.intake.lags()
                self._produce(self.stage.tick(now_ms(), self.meter.lags))
            self.intake.pause(self.stage.paused())
            if now >= self.commit_at:
                self._commit()
        self._finish()

    def _consume(self, *, owing: bool) -> list[Message]:
        seconds = BUSY_SECONDS if owing or self.intake.progress.owing() else IDLE_SECONDS
        messages = self.consumer.consume(self.settings.worker.fetch_records, seconds)
        self.callbacks.check()
        return messages

    def _produce(self, outputs: Outputs) -> None:
        """Step 4."""
        if not outputs:
            return
        self.reached("before-produce")
        self._begin()
        self.outgoing.hand_over(self.producer, outputs)
        self.intake.progress.cover(outputs.positions)
        self.meter.wrote(outputs)

    def _begin(self) -> None:
        if not self.in_transaction:
            self.producer.begin_transaction()
            self.in_transaction = True

    def _commit(self) -> None:
        """Begin step 5, if anything has happened."""
        if self.stage is None:
            return
        self._produce(self.stage.checkpoint(now_ms()))
        positions = self.intake.progress.uncommitted()
        if positions or self.in_transaction:
            # Never without a position: it is with them that Kafka checks whether these partitions are still ours.
            self._send(positions or self.intake.progress.committed, self.id)
        else:
            self.commit_at = monotonic() + self.settings.worker.commit_ms / 1000

    def _send(self, positions: Mapping[Input, int], owner: str) -> None:
        """Step 5, aside; with each position goes whose transaction may be open there from now on."""
        self._begin()
        offsets = marked(positions, self.names, owner, self.standing.ids)
        generation, started = self.generation, monotonic()
        deadline = Deadline.after(self.settings.worker.operation_seconds)

        def send_offsets(left: float) -> None:
            with self.patience.during("send_offsets_to_transaction", TRY_SECONDS + 3):
                self.producer.send_offsets_to_transaction(offsets, generation, min(left, TRY_SECONDS))

        def end() -> None:
            self.reached("before-offsets", self.producer.flush)
            again(send_offsets, deadline)
            self.reached("before-commit", self.producer.flush)
            with self.patience.during("commit_transaction"):
                again(self.producer.commit_transaction, deadline)
            took = monotonic() - started
            pause = min(COMMIT_PAUSE * took, MOST_PAUSE_SECONDS)
            self.commit_at = started + max(self.settings.worker.commit_ms / 1000, took + pause)
            self.meter.committed(took, now_ms())

        self.sent, self.ending = positions, Aside(end)

    def _ended(self) -> None:
        """Wait for the end of the transaction that is ending, if one is; then step 6."""
        if self.ending is not None:
            ending, self.ending = self.ending, None
            ending.wait()
            self.in_transaction = False
            self.intake.progress.committed.update(self.sent)
            self.reached("after-commit")
            if self.stage is not None:
                self.stage.committed()

    def _finish(self) -> None:
        self._ended()
        if self.stage is not None:
            self._produce(self.stage.drain(now_ms()))
            self.reached("during-revoke", self.producer.flush)
            self._produce(self.stage.checkpoint(now_ms()))
            self._send(self.intake.progress.committed | self.intake.progress.uncommitted(), NOBODY)
            self._ended()
        self._drop()

    def _drop(self) -> None:
        if self.stage is not None:
            self.stage.close()
            self.stage = None
        self.meter.holds(0)
        self.intake.begin({}, {})

    def _abort(self) -> None:
        with contextlib.suppress(KafkaException, Retry):
            self._ended()
        if self.in_transaction:
            self.in_transaction = False
            with contextlib.suppress(KafkaException), self.patience.during("abort_transaction"):
                self.producer.abort_transaction(self.settings.worker.operation_seconds)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Step 1, once the group has met."""
        self._ended()
        self._drop()
        deadline = Deadline.after(RESTORE_SECONDS)
        held = frozenset(tp.partition for tp in partitions)
        logger.info("%s holds partitions %s", self.job.name, sorted(held))
        # Of this moment: asked for later, after the session was lost, it would be empty, and Kafka checks no empty one.
        self.generation = consumer.consumer_group_metadata()
        if not consumer.memberid():
            raise Fenced("its session was over before it began")
        if held:
            self._fence(owners_of(self.settings, self.group, partitions, deadline))
        self.standing = standing_of(consumer, partitions, self.job, self.settings, deadline)
        starts = self.standing.starts
        if held:
            self.stage = restored_stage(self.job, self.settings, self.standing, deadline, self._restoring)
            self.intake.begin(starts, self.standing.committed)
            self.meter.holds(len(held))
            self._send(self.intake.progress.committed, self.id)
            self._ended()
        consumer.assign([TopicPartition(self.names[topic], p, offset) for (topic, p), offset in starts.items()])

    def _restoring(self, point: str) -> None:
        self.meter.turned(monotonic())
        self.reached(point)

    def _fence(self, owners: list[str]) -> None:
        """End the transactions of workers that are gone: a producer that starts under the same id aborts them.

        One that is only thought to be gone is thereby kept from writing.
        """
        for owner in owners:
            if owner != self.id:
                with self.patience.during("init_transactions"):
                    passing = make_transactional_producer(self.settings, owner)
                    passing.init_transactions(self.settings.worker.operation_seconds)
                logger.info("%s ended what %s left", self.job.name, owner)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        try:
            self._finish()
        finally:
            self._abort()
            self._drop()
            consumer.unassign()

    def _lost(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._abort()
        self._drop()
        consumer.unassign()
        raise Fenced("its session was over, and others may have its partitions")  # and have fenced this producer

    def _leave(self) -> None:
        self._abort()
        self._drop()
        with contextlib.suppress(KafkaException, Retry, BrokerError), self.patience.during("close"):
            self.consumer.close()
        with contextlib.suppress(KafkaException):  # a producer that was fenced refuses everything
            self.producer.purge()
            self.producer.flush(0)
        self.patience.end()
