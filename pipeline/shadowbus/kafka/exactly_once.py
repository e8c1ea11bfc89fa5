"""The one loop that runs any stage exactly once. The only file with transactions.

One membership of the consumer group goes through these steps; `docs/architecture.md` says for each what is true after
a crash there.

1. Join the group. When partitions are assigned: find where the last commit left each input, restore the stage's
   state up to there, and only then take input.
2. Consume a batch.
3. Let the stage process it. What comes back carries the input positions it accounts for.
4. Produce it, inside a transaction that began with the first record.
5. When it is time: send the positions to the transaction, and commit. Records and positions become visible as one.
6. Tell the stage, so that it may write local state.

When partitions are revoked: drain the stage, do 4 to 6 for what is left, drop the stage. When they are lost, or
anything in a transaction fails: abort, drop the stage, leave, and start again at 1 from what is committed.
"""

import contextlib
import gc
import logging
import threading
import uuid

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.assignment import RESTORE_SECONDS, restored_stage, starts_of
from shadowbus.kafka.clients import make_consumer, make_producer
from shadowbus.kafka.complaints import PASSING, again, as_next_action
from shadowbus.kafka.job import Job
from shadowbus.kafka.patience import Patience
from shadowbus.kafka.progress import Progress
from shadowbus.kafka.slices import slices_of
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, Stage

logger = logging.getLogger("shadowbus.exactly_once")

IDLE_SECONDS = 0.05
TICK_SECONDS = 0.05


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
    """
    _calm_the_collector()
    pause = 0.2
    while not stop.is_set():
        membership = _Membership(job, settings, worker_id)
        started = monotonic()
        try:
            membership.serve(stop)
        except Retry as error:
            pause = 0.2 if monotonic() - started > 30 else min(pause * 2, 5.0)
            logger.warning("%s starts again from what is committed: %s", job.name, error)
            stop.wait(pause)


class _Membership:
    """One membership of the group: a consumer, a producer, and the stage over the partitions held."""

    def __init__(self, job: Job, settings: Settings, worker_id: str) -> None:
        self.job, self.settings, self.worker_id = job, settings, worker_id
        self.names = job.topic_names(settings.namespace)
        self.short = {full: name for name, full in self.names.items()}
        self.stage: Stage | None = None
        self.progress = Progress()
        self.in_transaction = False
        self.paused: frozenset[Input] = frozenset()
        self.patience = Patience(settings.worker.operation_seconds + 5)
        self.consumer: Consumer
        self.producer: Producer

    def serve(self, stop: threading.Event) -> None:
        """Join, work until `stop` is set or the membership is over, leave."""
        worker, group = self.settings.worker, self.job.group(self.settings.namespace)
        member = self.worker_id or uuid.uuid4().hex[:12]
        self.producer = make_producer(
            self.settings,
            **{
                "transactional.id": f"{group}-{member}",
                "transaction.timeout.ms": worker.transaction_timeout_ms,
                "linger.ms": 100,  # a commit sends what is there at once, and nobody sees anything before
            },
        )
        static = {"group.instance.id": self.worker_id} if self.worker_id else {}
        self.consumer = make_consumer(
            self.settings,
            **{
                "group.id": group,
                "partition.assignment.strategy": "range",
                "enable.partition.eof": True,
                "session.timeout.ms": worker.session_timeout_ms,
                "heartbeat.interval.ms": max(100, worker.session_timeout_ms // 4),
                **static,
            },
        )
        try:
            with as_next_action(self.job.name):
                self.producer.init_transactions(worker.operation_seconds)
                self.consumer.subscribe(  # 1
                    [self.names[topic.name] for topic in self.job.inputs],
                    on_assign=self._assigned,
                    on_revoke=self._revoked,
                    on_lost=self._lost,
                )
                self._work(stop)
        finally:
            self._leave()

    def _work(self, stop: threading.Event) -> None:
        worker = self.settings.worker
        commit_at = tick_at = 0.0
        while not stop.is_set():
            messages = self.consumer.consume(worker.fetch_records, IDLE_SECONDS)  # 2
            if self.stage is None:
                continue
            if messages:
                self._process(messages)
            now = monotonic()
            if now >= tick_at or not messages:
                tick_at = now + TICK_SECONDS
                self._produce(self.stage.tick(now_ms(), self._lags()))
                self._pause(self.stage.paused())
            if now >= commit_at:
                commit_at = now + worker.commit_ms / 1000
                self._commit()
        self._finish()

    def _process(self, messages: list[Message]) -> None:
        slices, ends, errors = slices_of(messages, self.short)
        for error in errors:
            if error.code() not in PASSING:
                raise KafkaException(error)
        fresh = [piece for piece in slices if piece.input in self.progress.next]
        for piece in fresh:
            # After a rebalance librdkafka may hand out once more what was taken before it.
            while piece.offsets and piece.offsets[0] < self.progress.next[piece.input]:
                for column in (piece.keys, piece.values, piece.timestamps, piece.offsets):
                    column.pop(0)
            if piece.offsets:
                self.progress.next[piece.input] = piece.next_offset
                self.progress.ends.pop(piece.input, None)
        self.progress.ends.update({key: end for key, end in ends.items() if key in self.progress.next})
        batch = [piece for piece in fresh if piece.offsets]
        if batch and self.stage is not None:
            self._produce(self.stage.process(batch, now_ms()))  # 3

    def _produce(self, outputs: Outputs) -> None:
        """Step 4."""
        if not outputs:
            return
        if not self.in_transaction:
            self.producer.begin_transaction()
            self.in_transaction = True
        produce = self.producer.produce
        for topic, rows in outputs.records.items():
            name = self.names[topic]
            for partition, key, value in rows:
                try:
                    produce(name, value, key, partition)
                except BufferError:
                    self._produce_when_there_is_room(name, partition, key, value)
        for topic, stamped in outputs.stamped.items():
            name = self.names[topic]
            for partition, key, value, at_ms in stamped:
                try:
                    produce(name, value, key, partition, timestamp=at_ms)
                except BufferError:
                    self._produce_when_there_is_room(name, partition, key, value, at_ms)
        covered = self.progress.covered
        for key_, offset in outputs.positions.items():
            if offset < covered.get(key_, 0):
                raise AssertionError(f"{self.job.name} moved {key_} back from {covered[key_]} to {offset}")
            covered[key_] = offset

    def _produce_when_there_is_room(
        self, name: str, partition: int, key: bytes | None, value: bytes | None, at_ms: int = 0
    ) -> None:
        deadline = Deadline.after(self.settings.worker.operation_seconds)
        while True:
            self.producer.poll(0.01)
            try:
                self.producer.produce(name, value, key, partition, timestamp=at_ms)
            except BufferError:
                if deadline.passed:
                    raise Retry("Kafka takes no records: the send queue stays full.") from None
            else:
                return

    def _commit(self) -> None:
        """Steps 5 and 6."""
        if self.stage is not None:
            self._produce(self.stage.checkpoint(now_ms()))
        positions = self.progress.uncommitted()
        if not positions and not self.in_transaction:
            return
        if not self.in_transaction:
            self.producer.begin_transaction()
            self.in_transaction = True
        deadline = Deadline.after(self.settings.worker.operation_seconds)
        offsets = [TopicPartition(self.names[topic], p, offset) for (topic, p), offset in positions.items()]
        if offsets:
            metadata = self.consumer.consumer_group_metadata()
            with self.patience.during("send_offsets_to_transaction"):
                again(lambda left: self.producer.send_offsets_to_transaction(offsets, metadata, left), deadline)
        with self.patience.during("commit_transaction"):
            again(self.producer.commit_transaction, deadline)
        self.in_transaction = False
        self.progress.committed.update(positions)
        if self.stage is not None:
            self.stage.committed()  # 6

    def _finish(self) -> None:
        if self.stage is not None:
            self._produce(self.stage.drain(now_ms()))
            self._commit()
        self._drop()

    def _drop(self) -> None:
        if self.stage is not None:
            self.stage.close()
            self.stage = None
        self.progress, self.paused = Progress(), frozenset()

    def _abort(self) -> None:
        if self.in_transaction:
            self.in_transaction = False
            with contextlib.suppress(KafkaException), self.patience.during("abort_transaction"):
                self.producer.abort_transaction(self.settings.worker.operation_seconds)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Step 1, once the group has met."""
        self._drop()
        deadline = Deadline.after(RESTORE_SECONDS)
        held = frozenset(tp.partition for tp in partitions)
        logger.info("%s holds partitions %s", self.job.name, sorted(held))
        starts = starts_of(consumer, partitions, self.short, deadline)
        if held:
            self.stage = restored_stage(self.job, self.settings, starts, deadline)
            self.progress.next = dict(starts)
            self.progress.committed = dict(starts)
            self.progress.covered = dict(starts)
        consumer.assign([TopicPartition(self.names[topic], p, offset) for (topic, p), offset in starts.items()])

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

    def _leave(self) -> None:
        self._abort()
        self._drop()
        with contextlib.suppress(KafkaException, Retry, BrokerError), self.patience.during("close"):
            self.consumer.close()
        self.producer.purge()
        self.producer.flush(0)
        self.patience.end()

    def _pause(self, wanted: frozenset[Input]) -> None:
        held = {key: TopicPartition(self.names[key[0]], key[1]) for key in self.progress.next}
        if changed := [held[key] for key in wanted - self.paused if key in held]:
            self.consumer.pause(changed)
        if changed := [held[key] for key in self.paused - wanted if key in held]:
            self.consumer.resume(changed)
        self.paused = wanted

    def _lags(self) -> dict[Input, int]:
        """How many records are not yet taken, by input, as far as known."""
        lags: dict[Input, int] = {}
        for key, offset in self.progress.next.items():
            if key in self.progress.ends:
                lags[key] = 0
                continue
            tp = TopicPartition(self.names[key[0]], key[1])
            _, high = self.consumer.get_watermark_offsets(tp, cached=True)
            if high >= 0:
                lags[key] = max(1, high - offset)
        return lags


def _calm_the_collector() -> None:
    """Look for reference cycles seldom: batches make many objects and no cycles, and a full pass stops everything."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
