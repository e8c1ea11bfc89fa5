"""The loop that runs any stage exactly once.

One membership of the consumer group goes through these steps; `docs/architecture.md` says for each what is true after
a crash there.

1. Join the group. When partitions are assigned, a background thread (`takeover.py`) ends the transactions that previous
   owners left open, finds the committed positions and restores the stage; meanwhile the loop polls and reads nothing.
   Then sign the positions, and only after that let the stage process input.
2. Consume a batch.
3. Let the stage process it. Its outputs carry the input positions that they account for.
4. Produce them, inside a transaction that began with the first record.
5. When it is time: send the positions to the transaction and commit, in a background thread (`transaction.py`).
   Records and positions become visible as one. Meanwhile 2 goes on, but the stage sees none of it before 6.
6. Tell the stage, so that it may write local state.

When partitions are revoked: drain the stage, do 4 to 6 for the rest without a signature, drop the stage; all within
one deadline. When they are lost, or anything in a transaction fails: abort, drop the stage, leave, and start again at 1
from the committed positions. A restore that is under way is given up in either case; it has written nothing.

Two threads work here at a time, and these invariants keep them apart:

- The consumer, and everything in this file, belongs to the main thread. Rebalance callbacks run in it, inside
  `consume`; their errors are raised when `consume` has returned.
- The thread of a take-over builds a producer, positions and a stage that nobody else sees before it has ended.
- The thread of a commit uses the producer alone. From `commit` to `wait` the main thread leaves the producer, the stage
  and the positions as they are: it only reads ahead. The offsets to commit are a snapshot.
- The result or error of either thread reaches the main thread in one place, where it waits for the thread to end.
- The main thread tells either one thing only: that it is over (`over`, `give_up`). Neither sends positions after that.
"""

import contextlib
import logging
import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.errors import BrokerError, Fenced, Retry
from shadowbus.kafka.client_errors import ClientErrors
from shadowbus.kafka.clients import answers, make_member
from shadowbus.kafka.error_classes import as_next_action
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.kafka.worker.call_watchdog import CallWatchdog
from shadowbus.kafka.worker.failpoints import reached
from shadowbus.kafka.worker.fencing import NOBODY
from shadowbus.kafka.worker.gc_tuning import calm_the_collector
from shadowbus.kafka.worker.input import InputReader, RebalanceCallbacks
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.meter import WorkerMeter
from shadowbus.kafka.worker.output import OutputWriter
from shadowbus.kafka.worker.restarts import STEADY_SECONDS, Restarts
from shadowbus.kafka.worker.takeover import Assignment, TakeOver
from shadowbus.settings import Settings
from shadowbus.stage import Outputs

logger = logging.getLogger("shadowbus.worker")

IDLE_SECONDS, BUSY_SECONDS = 0.02, 0.005
"""How long to wait for input; the shorter one while the stage owes outputs, or a commit is under way."""
TICK_SECONDS = 0.05
READ_AHEAD = 8
"""How many batches may wait while a commit is under way; a stage may get this many more after it asked for a pause."""


def run(job: Job, settings: Settings, stop: threading.Event, worker_id: str, meter: WorkerMeter) -> None:
    """Run a stage until `stop` is set; wait out failures that pass by themselves.

    Args:
        job: What to run.
        settings: How to reach Kafka, and the worker's settings.
        stop: Set it to end after a last commit.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.
        meter: Counts what the worker does.

    Raises:
        BrokerError: Restarts do not help: a person has to act.
        StateCorruptError: The state contradicts itself.
        TooLarge: The stage made a record that its topic does not take.
    """
    calm_the_collector()
    restarts = Restarts(job.name, settings.worker.restarts_without_progress, lambda: answers(settings))
    while not stop.is_set():
        membership = _Membership(job, settings, worker_id, meter)
        try:
            membership.serve(stop)
        except Retry as error:
            meter.restarted()
            stop.wait(restarts.pause_s(error, progressed=membership.progressed))


class _Membership:
    """One membership of the group: a consumer, and an assignment while it holds partitions."""

    def __init__(self, job: Job, settings: Settings, worker_id: str, meter: WorkerMeter) -> None:
        self.job, self.settings, self.worker_id, self.meter = job, settings, worker_id, meter
        self.group, self.names = job.group(settings.namespace), job.topic_names(settings.namespace)
        self.seconds = settings.worker.operation_seconds
        self.watchdog, self.errors = CallWatchdog(self.seconds + 5), ClientErrors()
        self.callbacks, self.output = RebalanceCallbacks(), OutputWriter(job, settings)
        self.take_over: TakeOver | None = None
        self.assignment: Assignment | None = None
        self.tick_at = self.commit_at = 0.0
        self.moved, self.steady_at, self.over = False, float("inf"), threading.Event()
        self.joined_by = Deadline.after(self.seconds)
        self.consumer: Consumer
        self.input: InputReader

    @property
    def progressed(self) -> bool:
        """Whether this membership committed anything new, or lasted."""
        return self.moved or monotonic() >= self.steady_at

    def serve(self, stop: threading.Event) -> None:
        """Join, work until `stop` is set or the membership is over, leave."""
        self.consumer = make_member(self.settings, self.group, self.worker_id, self.errors.note)
        self.input = InputReader(self.consumer, self.settings, self.names)
        try:
            require_topics(self.input.watch.admin, self.names)
            with as_next_action(self.job.name, self._refusal):
                self.consumer.subscribe(  # 1
                    [self.names[topic.name] for topic in self.job.inputs],
                    on_assign=self.callbacks.kept(self._assigned),
                    on_revoke=self.callbacks.kept(self._revoked),
                    on_lost=self.callbacks.kept(self._lost),
                )
                try:
                    self._work(stop)
                except KafkaException as error:
                    reason = error if self.assignment is None else self.assignment.transactions.reason_of(error)
                    raise reason from None if reason is error else error
        except BrokerError:
            require_topics(self.input.watch.admin, self.names)  # where a missing topic is the reason, it says so best
            raise
        finally:
            self._leave()

    def _refusal(self) -> KafkaError | None:
        return self.errors.recent(None if self.assignment is None else self.assignment.transactions.producer)

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.meter.turned(monotonic())
            committing = self.assignment is not None and self.assignment.transactions.committing
            if committing or not self.input.ahead:
                self.input.take(self._consume(owing=committing))  # 2
            if self.assignment is None:
                self._wait()
            elif not committing or len(self.input.ahead) >= READ_AHEAD:
                self._advance(self.assignment)
        self._finish(Deadline.after(self.seconds))

    def _consume(self, *, owing: bool) -> list[Message]:
        seconds = BUSY_SECONDS if owing or self.input.positions.owing() else IDLE_SECONDS
        messages = self.consumer.consume(self.input.fetch_records, seconds)
        self.callbacks.check()
        return messages

    def _wait(self) -> None:
        """No partitions are held, or they are not restored yet: see whether that has changed."""
        self.input.watch.check({}, monotonic())
        if self.take_over is not None and not self.take_over.under_way:
            take_over, self.take_over = self.take_over, None
            self._begin(take_over.take())
        elif self.consumer.memberid():
            self.joined_by = Deadline.after(self.seconds)
        elif self.joined_by.passed:
            why = f"it could not join its group in time ({self.errors.words})"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, why))

    def _advance(self, work: Assignment) -> None:
        self._end_commit(work)  # 6
        ahead = self.input.ahead
        if batches := ahead.popleft() if ahead else []:
            self.meter.took(batches)
            self._produce(work, work.stage.process(batches, now_ms()))  # 3
        now = monotonic()
        if not ahead and (now >= self.tick_at or not batches):  # lags do not count what waits in `ahead`
            self.tick_at = now + TICK_SECONDS
            self.input.watch.check(work.committed.ids, now)
            self.meter.lagging(lags := self.input.lags())
            self._produce(work, work.stage.tick(now_ms(), lags))
        self.input.pause(work.stage.paused())
        if now >= self.commit_at:
            self._commit(work)

    def _produce(self, work: Assignment, outputs: Outputs) -> None:
        """Step 4."""
        if not outputs:
            return
        reached("before-produce")
        self.output.hand_over(work.transactions.begun(), outputs)
        self.input.positions.cover(outputs.positions)
        self.meter.wrote(outputs)

    def _commit(self, work: Assignment) -> None:
        """Step 5, in the background, if there is anything to commit."""
        self._produce(work, work.stage.checkpoint(now_ms()))
        positions = self.input.positions.uncommitted()
        if positions or work.transactions.open:
            # Never without a position: it is with them that Kafka checks who owns these partitions.
            positions = positions or self.input.positions.committed
            work.transactions.commit(positions, work.transactions.id, Deadline.after(self.seconds))
        else:
            self.commit_at = monotonic() + self.settings.worker.commit_ms / 1000

    def _end_commit(self, work: Assignment) -> None:
        """Wait for the commit, if one is under way; then step 6."""
        commit = work.transactions.wait()
        if commit is None:
            return
        self.commit_at = commit.next_at(self.settings.worker.commit_ms / 1000)
        self.meter.committed(commit.seconds, now_ms())
        before = self.input.positions.committed
        self.moved = self.moved or any(offset > before.get(key, -1) for key, offset in commit.positions.items())
        before.update(commit.positions)
        reached("after-commit")
        work.stage.committed()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Step 1, once the group has met: start the take-over."""
        if self.assignment is not None:
            self._end_commit(self.assignment)
        self._drop()
        logger.info("%s holds partitions %s", self.job.name, sorted({tp.partition for tp in partitions}))
        # As of now: asked for later, after the session was lost, it would be empty, and Kafka checks no empty one.
        generation = consumer.consumer_group_metadata()
        if not consumer.memberid():
            raise Fenced("its session was over before it began")
        consumer.assign([])  # they belong to this worker in the group; it only reads none of them yet
        if partitions:
            places = {(tp.topic, tp.partition) for tp in partitions}
            parts = self.errors, self.watchdog, self.over
            self.take_over = TakeOver(self.job, self.settings, places, generation, *parts)

    def _begin(self, work: Assignment) -> None:
        """Step 1, at its end: sign, and begin to read; the stage sees no input before the signature is committed."""
        self.assignment, starts, committed = work, work.committed.starts, work.committed.committed
        self.input.begin(starts, committed)
        self.meter.holds(len({partition for _, partition in starts}))
        self.steady_at = monotonic() + STEADY_SECONDS
        work.transactions.commit(committed, work.transactions.id, Deadline.after(self.seconds))
        self.consumer.assign([TopicPartition(self.names[topic], p, at) for (topic, p), at in starts.items()])

    def _finish(self, deadline: Deadline) -> None:
        self._give_up_restoring()
        if (work := self.assignment) is not None:
            self._end_commit(work)
            self._produce(work, work.stage.drain(now_ms()))
            reached("during-revoke", work.transactions.producer.flush)
            self._produce(work, work.stage.checkpoint(now_ms()))
            positions = self.input.positions
            work.transactions.commit(positions.committed | positions.uncommitted(), NOBODY, deadline)
            self._end_commit(work)
        self._drop()

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
        with contextlib.suppress(KafkaException, Retry, BrokerError), self.watchdog.during("close"):
            self.consumer.close()
        self.watchdog.end()

    def _let_go(self) -> None:
        self.over.set()
        self._give_up_restoring()
        self._abort(Deadline.after(self.seconds))
        self._drop()

    def _give_up_restoring(self) -> None:
        if self.take_over is not None:
            take_over, self.take_over = self.take_over, None
            take_over.give_up()

    def _abort(self, deadline: Deadline) -> None:
        if self.assignment is not None:
            with contextlib.suppress(KafkaException, Retry):
                self._end_commit(self.assignment)
            self.assignment.transactions.abort(deadline)

    def _drop(self) -> None:
        if self.assignment is not None:
            self.errors.recent(self.assignment.transactions.producer)  # before it is gone
            self.assignment.close()
            self.assignment = None
        self.meter.holds(0)
        self.input.begin({}, {})
