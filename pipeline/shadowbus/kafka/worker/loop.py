"""The one loop that runs any stage exactly once. The only file with transactions.

One membership of the consumer group goes through these steps; `docs/architecture.md` says for each what is true after
a crash there.

1. Join the group. When partitions are assigned: end what their last owner left open, find where the last commit left
   each input, and restore the stage's state up to there, aside, however long that takes: nothing is read meanwhile, but
   the group is answered. Then sign, and only then let the stage take input.
2. Consume a batch.
3. Let the stage process it. What comes back carries the input positions it accounts for.
4. Produce it, inside a transaction that began with the first record.
5. When it is time: send the positions to the transaction, and commit. Records and positions become visible as one.
   Meanwhile 2 goes on; what it brings lies ready, and the stage sees none of it before 6.
6. Tell the stage, so that it may write local state.

When partitions are revoked: drain the stage, do 4 to 6 for what is left without a signature, drop the stage; all of it
within one deadline. When they are lost, or anything in a transaction fails: abort, drop the stage, leave, and start
again at 1 from what is committed. A restore that is under way is given up in either case; it has written nothing.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.errors import BrokerError, Fenced, Retry
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.serve import exported
from shadowbus.exporter.trials import Trials
from shadowbus.kafka.clients import answers, make_admin, make_member, make_transactional_producer
from shadowbus.kafka.error_classes import again, as_next_action
from shadowbus.kafka.heard import Heard
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.kafka.transaction_probe import reason_of
from shadowbus.kafka.worker.background import Aside
from shadowbus.kafka.worker.call_watchdog import Patience
from shadowbus.kafka.worker.callbacks import Callbacks
from shadowbus.kafka.worker.failpoints import Reached, fault_of
from shadowbus.kafka.worker.fencing import NOBODY, committed_of, marked, owners_of, transactional_id
from shadowbus.kafka.worker.gc_tuning import calm_the_collector, let_go_of_clients
from shadowbus.kafka.worker.input import Intake
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.output import Outgoing
from shadowbus.kafka.worker.restarts import STEADY_SECONDS, Restarts
from shadowbus.kafka.worker.restoration import Restoration, Restored
from shadowbus.kafka.worker.restore import restored_stage, standing_of
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs

logger = logging.getLogger("shadowbus.worker")

TRY_SECONDS = 5.0
"""In steps, since it may never come back (see `call_watchdog.py`); it goes on where the last step left it."""

IDLE_SECONDS, BUSY_SECONDS = 0.02, 0.005
"""How long to wait for input; the shorter one while the stage owes an answer, or Kafka does."""
TICK_SECONDS = 0.05
ASK_SECONDS = 60.0
"""How long Kafka may take to say where everything stands; longest waits a signature whose worker was killed in it."""
GIVE_UP_SECONDS = 60.0
"""How long a stage may take for the records it was given last, when a restore is given up."""
COMMIT_PAUSE = 3
"""So many times as long as a commit took, the next one waits at least: reading, a quarter of the work, fills that."""
MOST_PAUSE_SECONDS = 1.0
"""And no longer: a commit that took as long as an outage is no reason to be late once more."""
READ_AHEAD = 8
"""How many batches may lie ready while a transaction ends; by so much a stage may get more than it asked for."""


def run(job: Job, settings: Settings, stop: threading.Event, worker_id: str = "", trials: Trials | None = None) -> None:
    """Run a stage until `stop` is set; whatever passes by itself is waited out.

    Args:
        job: What to run.
        settings: How to reach Kafka, and the worker's settings.
        stop: Set it to end after a last commit.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.
        trials: What Prometheus is to see of trials.

    Raises:
        BrokerError: A topic or a right is missing, Kafka refuses what the settings ask for, or starting again leads to
            nothing: a person has to act.
        StateCorruptError: Kept state contradicts itself.
        TooLarge: The stage made a record that its topic does not take.
    """
    calm_the_collector()
    reached = fault_of(os.environ)
    meter = Meter(job.name, job.shadow, worker_id)
    restarts = Restarts(job.name, settings.worker.restarts_without_progress, lambda: answers(settings))
    with exported(settings.metrics, meter, trials, GIVE_UP_SECONDS + settings.worker.operation_seconds):
        while not stop.is_set():
            membership = _Membership(job, settings, worker_id, reached, meter)
            try:
                membership.serve(stop)
            except Retry as error:
                meter.began_again += 1
                stop.wait(restarts.pause_s(error, progressed=membership.progressed))


class _Membership:
    """One membership of the group: a consumer, and what it works with while it holds partitions."""

    def __init__(self, job: Job, settings: Settings, worker_id: str, reached: Reached, meter: Meter) -> None:
        self.job, self.settings, self.worker_id, self.reached = job, settings, worker_id, reached
        self.meter, self.seconds = meter, settings.worker.operation_seconds
        self.group = job.group(settings.namespace)
        self.names, self.outgoing = job.topic_names(settings.namespace), Outgoing(job, settings)
        self.restoration: Restoration | None = None
        self.work: Restored | None = None
        self.generation: object = None
        self.callbacks, self.heard = Callbacks(), Heard()
        self.in_transaction, self.commit_at, self.over = False, 0.0, threading.Event()
        self.ending: Aside[None] | None = None
        self.sent: Mapping[Input, int] = {}  # the positions that it commits
        self.moved, self.steady_at = False, float("inf")
        self.joined_by = Deadline.after(self.seconds)
        self.patience = Patience(self.seconds + 5)
        self.consumer: Consumer
        self.intake: Intake

    @property
    def progressed(self) -> bool:
        """Whether this membership got anywhere."""
        return self.moved or monotonic() >= self.steady_at

    def serve(self, stop: threading.Event) -> None:
        """Join, work until `stop` is set or the membership is over, leave."""
        self.consumer = make_member(self.settings, self.group, self.worker_id, self.heard.note)
        self.intake = Intake(self.consumer, self.settings, self.names)
        try:
            require_topics(self.intake.watch.admin, self.names)
            with as_next_action(self.job.name, self._reason):
                self.consumer.subscribe(  # 1
                    [self.names[topic.name] for topic in self.job.inputs],
                    on_assign=self.callbacks.kept(self._assigned),
                    on_revoke=self.callbacks.kept(self._revoked),
                    on_lost=self.callbacks.kept(self._lost),
                )
                try:
                    self._work(stop)
                except KafkaException as error:
                    reason = error if self.work is None else reason_of(self.work.producer, error)
                    if reason is error:
                        raise
                    raise reason from error
        except BrokerError:
            require_topics(self.intake.watch.admin, self.names)  # where that is the reason, it says it best
            raise
        finally:
            self._leave()

    def _reason(self) -> KafkaError | None:
        return self.heard.lately(None if self.work is None else self.work.producer)

    def _work(self, stop: threading.Event) -> None:
        tick_at, ahead = 0.0, self.intake.ahead
        while not stop.is_set():
            self.meter.turned(monotonic())
            under_way = self.ending is not None and self.ending.under_way
            if under_way or not ahead:
                self.intake.take(self._consume(owing=under_way))  # 2
            if self.work is None:
                self._wait()
                continue
            if under_way and len(ahead) < READ_AHEAD:
                continue
            self._ended()  # 6
            stage = self.work.stage
            if batch := ahead.popleft() if ahead else []:
                self.meter.took(batch)
                self._produce(stage.process(batch, now_ms()))  # 3
            now = monotonic()
            if not ahead and (now >= tick_at or not batch):  # lags do not count what lies ready
                tick_at = now + TICK_SECONDS
                self.intake.watch.check(self.work.standing.ids, now)
                self.meter.lags = self.intake.lags()
                self._produce(stage.tick(now_ms(), self.meter.lags))
            self.intake.pause(stage.paused())
            if now >= self.commit_at:
                self._commit()
        self._finish(Deadline.after(self.seconds))

    def _wait(self) -> None:
        """Nothing is held, or not restored yet: look whether that has changed."""
        self.intake.watch.check({}, monotonic())
        if self.restoration is not None and not self.restoration.under_way:
            restoration, self.restoration = self.restoration, None
            self._go_on_from(restoration.take())
        elif self.consumer.memberid():
            self.joined_by = Deadline.after(self.seconds)
        elif self.joined_by.passed:
            why = f"it could not join its group in time ({self.heard.words})"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, why))

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
        self.outgoing.hand_over(self._begun(), outputs)
        self.intake.progress.cover(outputs.positions)
        self.meter.wrote(outputs)

    def _begun(self) -> Producer:
        producer = self._held().producer
        if not self.in_transaction:
            producer.begin_transaction()
            self.in_transaction = True
        return producer

    def _held(self) -> Restored:
        if self.work is None:
            raise Fenced("it holds no partitions any more")
        return self.work

    def _commit(self) -> None:
        """Begin step 5, if anything has happened."""
        work = self._held()
        self._produce(work.stage.checkpoint(now_ms()))
        positions = self.intake.progress.uncommitted()
        if positions or self.in_transaction:
            # Never without a position: it is with them that Kafka checks whether these partitions are still ours.
            self._send(positions or self.intake.progress.committed, work.id, Deadline.after(self.seconds))
        else:
            self.commit_at = monotonic() + self.settings.worker.commit_ms / 1000

    def _send(self, positions: Mapping[Input, int], owner: str, deadline: Deadline) -> None:
        """Step 5, aside; with each position goes whose transaction may be open there from now on."""
        producer, generation, started = self._begun(), self.generation, monotonic()
        offsets = marked(positions, self.names, owner, self._held().standing.ids)

        def send_offsets(left: float) -> None:
            if self.over.is_set():  # tried on, it would go through when a topic that is gone is made anew
                raise Retry("this membership is over")
            with self.patience.during("send_offsets_to_transaction", TRY_SECONDS + 3):
                producer.send_offsets_to_transaction(offsets, generation, min(left, TRY_SECONDS))

        def end() -> None:
            self.reached("before-offsets", producer.flush)
            again(send_offsets, deadline)
            self.reached("before-commit", producer.flush)
            with self.patience.during("commit_transaction"):
                again(producer.commit_transaction, deadline)
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
            self.in_transaction, committed = False, self.intake.progress.committed
            self.moved = self.moved or any(offset > committed.get(key, -1) for key, offset in self.sent.items())
            committed.update(self.sent)
            self.reached("after-commit")
            if self.work is not None:
                self.work.stage.committed()

    def _finish(self, deadline: Deadline) -> None:
        self._give_up_restoring()
        self._ended()
        if self.work is not None:
            self._produce(self.work.stage.drain(now_ms()))
            self.reached("during-revoke", self.work.producer.flush)
            self._produce(self.work.stage.checkpoint(now_ms()))
            self._send(self.intake.progress.committed | self.intake.progress.uncommitted(), NOBODY, deadline)
            self._ended()
        self._drop()

    def _drop(self) -> None:
        if self.work is not None:
            self.heard.lately(self.work.producer)  # before it is gone
            self.work.close()
            self.work = None
        self.meter.holds(0)
        self.intake.begin({}, {})

    def _abort(self, deadline: Deadline) -> None:
        with contextlib.suppress(KafkaException, Retry):
            self._ended()
        if self.in_transaction and self.work is not None:
            self.in_transaction = False
            with contextlib.suppress(KafkaException), self.patience.during("abort_transaction"):
                self.work.producer.abort_transaction(max(1.0, deadline.remaining()))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Step 1, once the group has met: what takes its time goes on aside, and nothing is read before it is done."""
        self._ended()
        self._drop()
        logger.info("%s holds partitions %s", self.job.name, sorted({tp.partition for tp in partitions}))
        # Of this moment: asked for later, after the session was lost, it would be empty, and Kafka checks no empty one.
        self.generation = consumer.consumer_group_metadata()
        if not consumer.memberid():
            raise Fenced("its session was over before it began")
        consumer.assign([])  # in the group they are this worker's; it only reads none of them yet
        if partitions:
            self.restoration = Restoration(lambda check: self._restored(partitions, check))

    def _restored(self, partitions: list[TopicPartition], check: Callable[[], None]) -> Restored:
        """Step 1, aside: end what others left open, and only then look where the last commit left everything."""
        let_go_of_clients()
        deadline = Deadline.after(ASK_SECONDS)
        places = {(tp.topic, tp.partition) for tp in partitions}
        committed = committed_of(make_admin(self.settings), self.group, deadline, stable=False)
        owners = owners_of(self.group, committed)
        self._fence(sorted({owners[place] for place in places & owners.keys()}))
        mine = transactional_id(self.group, {partition for _, partition in places}, set(owners.values()))
        producer = self._initialised(mine)
        check()
        standing = standing_of(places, self.job, self.settings, deadline, check)
        stage = restored_stage(self.job, self.settings, standing, deadline, self.reached, check)
        return Restored(mine, producer, standing, stage)

    def _fence(self, owners: list[str]) -> None:
        """End the transactions of workers that are gone: a producer that starts under the same id aborts them.

        One that is only thought to be gone is thereby kept from writing.
        """
        for owner in owners:
            self._initialised(owner)
            logger.info("%s ended what %s left", self.job.name, owner)

    def _initialised(self, transactional: str) -> Producer:
        producer = make_transactional_producer(self.settings, transactional, self.heard.note)
        with self.patience.during("init_transactions"):
            try:
                again(producer.init_transactions, Deadline.after(self.seconds))
            except KafkaException:
                self.heard.lately(producer)  # its callbacks may know why
                raise
        return producer

    def _go_on_from(self, restored: Restored) -> None:
        """Step 1, at its end: sign, and begin to read; the stage sees no input before the signature is committed."""
        self.work, standing = restored, restored.standing
        self.intake.begin(standing.starts, standing.committed)
        self.meter.holds(len({partition for _, partition in standing.starts}))
        self.steady_at = monotonic() + STEADY_SECONDS
        self._send(standing.committed, restored.id, Deadline.after(self.seconds))
        self.consumer.assign([TopicPartition(self.names[topic], p, at) for (topic, p), at in standing.starts.items()])

    def _give_up_restoring(self) -> None:
        if self.restoration is not None:
            restoration, self.restoration = self.restoration, None
            with self.patience.during("the restore of a stage", GIVE_UP_SECONDS):
                restoration.give_up()

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        deadline = Deadline.after(self.seconds)
        try:
            self._finish(deadline)
        finally:
            self._abort(deadline)
            self._drop()
            consumer.unassign()

    def _lost(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._let_go()
        consumer.unassign()
        raise Fenced("its session was over, and others may have its partitions")  # and have fenced this producer

    def _leave(self) -> None:
        self._let_go()
        with contextlib.suppress(KafkaException, Retry, BrokerError), self.patience.during("close"):
            self.consumer.close()
        self.patience.end()

    def _let_go(self) -> None:
        self.over.set()
        self._give_up_restoring()
        self._abort(Deadline.after(self.seconds))
        self._drop()
