"""The agents: partials in, aggregates and verdicts out. Runs on Faust.

An agent keeps the newest partial of each source partition in a Faust table; a timer publishes what changed. Guaranteed:
at least once over idempotent partials, so a crash changes nothing in what is published. A record that cannot be used
becomes a dead letter, and never stops the agent.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import threading
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError  # type: ignore[import-untyped]
from faust.types import TP

from shadowbus import topology
from shadowbus.agents.faust_app import make_app
from shadowbus.agents.progress import Progress
from shadowbus.clock import Deadline, monotonic, now_ms, thread_seconds
from shadowbus.decide.board import Board, Publication
from shadowbus.decide.claims import Real
from shadowbus.errors import BrokerError, Retry
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.serve import exported
from shadowbus.exporter.trials import Trials
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.permissions import check_group, check_start
from shadowbus.kafka.read.all_records import whole_topic
from shadowbus.kafka.read.changelog import end_offsets
from shadowbus.kafka.read.ends import Ends
from shadowbus.kafka.read.table import read_table
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.partitioners import partition_of
from shadowbus.processes.signals import stop_on_signals
from shadowbus.records.dead_letters import dead_letter
from shadowbus.retries import pause_s
from shadowbus.settings import Settings
from shadowbus.stage import Input
from shadowbus.throttle import throttle
from shadowbus.topology import AGENTS_TABLE, AGGREGATES, DEAD_LETTERS, PARTIALS, VERDICTS, Topic

LOOK_SECONDS = 0.1
WATCH_SECONDS = 5.0
STUCK_SECONDS = 45.0
STOP_SECONDS = 5.0
RECALL_SECONDS = 60.0
LETTER_PAUSE_S = 10.0
REST = 3.0
"""After publishing, the agents rest for so many times as long as they worked: hundreds of segments mean fewer looks."""
MOST_REST_SECONDS = 5.0
"""And never longer. What they waited for Kafka is no work, and asks for no rest."""

TOPICS = (PARTIALS, AGGREGATES, VERDICTS, DEAD_LETTERS)
TooLarge = (MessageSizeTooLargeError, RecordListTooLargeError)
TOO_LARGE = "what there is to say of it is larger than Kafka takes: see `max.message.bytes` of the topic"

logger = logging.getLogger("shadowbus.agents")


def run_agents(settings: Settings, stop: threading.Event | None = None, worker_id: str = "") -> None:
    """Merge and decide until `stop` is set, or, without one, until SIGTERM or SIGINT.

    Args:
        settings: How to reach Kafka, the gate, and how often to publish.
        stop: Set it to end.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.

    Raises:
        SettingsError: `[kafka]` asks for what Faust's client cannot do.
        BrokerError: A topic is missing, or Faust gave up; nothing is lost, start again.
    """
    for name in ("faust", "mode", "aiokafka", __name__):  # Faust's services speak under the name of their module
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))
    throttle(("faust", "mode", "aiokafka"))
    require_topics(make_admin(settings), _names(settings))
    meter, trials = Meter("agents", worker=worker_id), Trials()
    with contextlib.ExitStack() as opened:
        stopping = opened.enter_context(stop_on_signals()) if stop is None else stop
        shown = trials if opened.enter_context(exported(settings.metrics, meter, trials)) else None
        asyncio.run(_Agents(settings, worker_id, meter, shown, owns_process=stop is None).serve(stopping))


class _Agents:
    """One Faust app over the partials of one namespace; `shown` are the trials that Prometheus is to see, if any."""

    def __init__(
        self,
        settings: Settings,
        worker_id: str,
        meter: Meter | None = None,
        shown: Trials | None = None,
        *,
        owns_process: bool,
    ) -> None:
        self.settings, self.owns_process, self.meter, self.shown = settings, owns_process, meter or Meter(), shown
        self.app = make_app(settings, "agents", worker_id, declare=False)
        self.topics = {topic.name: self._topic(topic) for topic in TOPICS}
        table = self.app.Table(
            "newest",
            key_type=bytes,
            value_type=bytes,
            partitions=settings.partitions,
            on_recover=self._recovered,
            extra_topic_configs=PARTIALS.config(),
        )
        self.board = Board(table, settings)
        self.board.real = Real({}, 0)
        self.ends = Ends(settings, [topic for topic in topology.TOPICS if topic.name in topology.AGENTS.measures])
        self.owned: frozenset[int] = frozenset()
        self.ready, self.recalled, self.taken = False, False, 0
        self.publish_at, self.denied = 0.0, ""
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.agent(self.topics["partials"], name="keep")(self._keep)
        self.app.timer(settings.aggregate.publish_seconds)(self._publish)

    async def serve(self, stop: threading.Event) -> None:
        """Run the app until `stop` is set or it has crashed."""
        starting, watch = asyncio.ensure_future(self.app.start()), asyncio.create_task(self._watch())
        failed = False
        try:
            while not (stop.is_set() or self.app.should_stop or self.app.crashed or watch.done() or failed):
                await asyncio.sleep(LOOK_SECONDS)
                self.meter.turned(monotonic())
                failed = starting.done() and (starting.cancelled() or starting.exception() is not None)
        finally:
            ended = watch if watch.done() else starting if failed else None
            (found,) = await asyncio.gather(ended, return_exceptions=True) if ended else (self.app.crash_reason,)
            reason = str(found) if isinstance(found, str | BrokerError) else repr(found)
            await self._stop("" if stop.is_set() else reason)
        if isinstance(found, BrokerError):
            raise found
        if not stop.is_set():
            raise BrokerError(f"The agents gave up ({reason}); nothing is lost, start them again.")

    async def _stop(self, reason: str) -> None:
        """Stop Faust; where Kafka is away its tasks and threads may not end, and then the process does."""
        await asyncio.wait({asyncio.ensure_future(self.app.stop())}, timeout=STOP_SECONDS)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=STOP_SECONDS)
        if left and self.owns_process:
            # Nothing is lost: what was read but not committed is read again.
            logger.error("Faust did not end within %.0f s and is cut off%s", STOP_SECONDS, reason and f": {reason}")
            logging.shutdown()
            os._exit(1 if reason else 0)

    async def _watch(self) -> str:
        """Returns when Faust has stopped reading, or never began to, without a word; why, in plain words.

        Raises:
            BrokerError: A right is missing, of which Faust says nothing a person could act on.
        """
        progress = Progress()
        inputs: list[Input] = [(PARTIALS.name, partition) for partition in range(self.settings.partitions)]
        names = {PARTIALS.name: PARTIALS.full_name(self.settings.namespace)}
        restored, since, admin = -1, monotonic(), make_admin(self.settings)
        while True:
            await asyncio.to_thread(self._check)
            await asyncio.sleep(WATCH_SECONDS)
            if self.denied:
                return self.denied
            try:
                await asyncio.to_thread(require_topics, admin, _names(self.settings))
                ends = await asyncio.to_thread(end_offsets, self.settings, names, inputs, Deadline.after(WATCH_SECONDS))
            except BrokerError as error:
                return str(error)
            except Retry:
                since = monotonic()
                continue  # Kafka is away: nobody can read
            mine = {key: end for key, end in ends.items() if not self.owned or key[1] in self.owned}
            self.meter.lags = {key: self._lag(names[key[0]], key[1], end) for key, end in mine.items()}
            if progress.stuck_seconds(mine, self.taken, monotonic()) > STUCK_SECONDS:
                return f"there have been new partials for {STUCK_SECONDS:.0f} s, and none was read"
            tables: Any = self.app.tables
            before, restored = restored, sum(offset or 0 for offset in tables.recovery.active_offsets.values())
            if self.ready or restored != before:
                since = monotonic()
            elif monotonic() - since > STUCK_SECONDS:
                return f"Faust has waited for {STUCK_SECONDS:.0f} s for the group or its table"

    def _check(self) -> None:
        check_start(self.settings, ("agents",))
        if not self.ready:
            check_group(self.settings, ("agents",))

    def _lag(self, name: str, partition: int, end: int) -> int:
        consumer: Any = self.app.consumer
        last = consumer._read_offset.get(TP(name, partition))
        return end if last is None else max(0, end - last - 2)  # behind the last record is its transaction's marker

    async def _keep(self, stream: Any) -> None:
        async for event in stream.events():
            self.taken += 1
            self.meter.read[PARTIALS.name] += 1
            try:
                # Nothing is waited for here: Faust may lose records of a stream that is held up while partitions move.
                if self.board.accept(event.key, event.value, event):
                    self.meter.unpublished_ms = self.meter.unpublished_ms or now_ms()
            except Exception as error:
                await self._refuse(event, str(error) or repr(error))

    async def _refuse(self, event: Any, reason: str) -> None:
        logger.warning("a partial that cannot be used was set aside: %r: %s", event.key, reason)
        self.board.refuse(event.key, reason)
        await self._set_aside(event, reason)

    async def _look(self) -> bool:
        """Learn where the topics end now; whether that was possible."""
        try:
            self.board.real = Real(await asyncio.to_thread(self.ends.look, WATCH_SECONDS), now_ms())
        except (Retry, BrokerError) as error:
            logger.warning("partials wait until it is known where the topics end that they count: %s", error)
            self.denied = str(error) if isinstance(error, BrokerError) else ""
            return False
        return True

    async def _publish(self) -> None:
        started, worked = monotonic(), thread_seconds()
        if not self.owned or started < self.publish_at or not (self.recalled or await self._recall()):
            return
        if self.board.waiting and await self._look():
            for event, reason in self.board.prove():
                await self._refuse(event, reason)
        sent: list[tuple[Publication, Any]] = []
        waiting, self.meter.unpublished_ms = self.meter.unpublished_ms, 0
        failed = True
        try:
            for publication in self.board.publish(self._is_owned):
                try:
                    topic = self.topics[publication.topic]
                    sent.append((publication, await topic.send(key=publication.key, value=publication.value)))
                except Exception as error:
                    logger.warning("%s could not be published, trying again: %r", publication.topic, error)
                    self.board.unpublish(publication)
                    break  # it is Kafka's fault or the client's, and no trial's
                await asyncio.sleep(0)
            else:
                failed = False
        finally:
            for publication, acknowledged in sent:
                try:
                    await acknowledged
                except Exception as error:
                    logger.warning("%s could not be published, trying again: %r", publication.topic, error)
                    self.board.unpublish(publication, TOO_LARGE if isinstance(error, TooLarge) else "")
                    failed = True
            if failed and waiting:
                self.meter.unpublished_ms = waiting
            if sent:
                self._count(sent, monotonic() - started)
            self.meter.last_commit_ms = now_ms()  # also where nothing was new: that is no agent that is stuck
            self.publish_at = monotonic() + min(MOST_REST_SECONDS, REST * (thread_seconds() - worked))

    async def _recall(self) -> bool:
        """Read back the verdicts that stand, from which the next ones follow; whether that was possible."""
        held = self.owned
        try:
            found = await asyncio.to_thread(read_table, self.settings, VERDICTS, Deadline.after(RECALL_SECONDS))
            if not await self._look():  # after what is held against it was read
                return False
            if held is self.owned and self.board.doubt():
                rows = await asyncio.to_thread(lambda: list(whole_topic(self.settings, PARTIALS)))
                self.board.mend(row for piece in rows for row in zip(piece.keys, piece.values, strict=True))
        except BrokerError as error:
            logger.warning("nothing is published until the verdicts can be read back: %s", error)
            return False
        if held is not self.owned:
            return False  # partitions have moved meanwhile, and with them who publishes
        self.board.recall(found)
        self.recalled = True
        return True

    def _count(self, sent: list[tuple[Publication, Any]], seconds: float) -> None:
        self.meter.batches += 1
        self.meter.committed(seconds, now_ms())
        for publication, _ in sent:
            self.meter.written[publication.topic] += 1
            if self.shown is not None:
                self.shown.take(*publication)

    async def _set_aside(self, event: Any, reason: str) -> None:
        message = event.message
        letter = dead_letter(
            message.topic, message.partition, message.offset, event.key, event.value, reason=reason, now_ms=now_ms()
        )
        for tries in itertools.count(1):  # until Kafka has it: the partial is behind us as soon as this returns
            try:
                await (await self.topics["dead-letters"].send(key=event.key, value=letter, partition=message.partition))
            except Exception as error:
                logger.warning("a dead letter could not be written, trying again: %r", error)
                await asyncio.sleep(pause_s(tries, most_s=LETTER_PAUSE_S))
            else:
                break
        self.meter.written[DEAD_LETTERS.name] += 1

    async def _recovered(self) -> None:
        """The table is restored for the partitions held now. May not raise: Faust would idle on."""
        name = PARTIALS.full_name(self.settings.namespace)
        self.owned = frozenset(tp.partition for tp in self.app.consumer.assignment() if tp.topic == name)
        self.board.reload()
        self.recalled = False
        self._holds(len(self.owned))
        self.ready = True
        logger.info("agents hold partitions %s, %d partials", sorted(self.owned), len(self.board.table))

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """Publish nothing until it is clear which partitions are held."""
        self.owned, self.ready = frozenset(), False
        self._holds(0)

    def _holds(self, partitions: int) -> None:
        self.meter.holds(partitions)
        if self.shown is not None:
            self.shown.forget()

    def _is_owned(self, trial: str) -> bool:
        return partition_of(trial.encode(), self.settings.partitions) in self.owned

    def _topic(self, topic: Topic) -> Any:
        return self.app.topic(
            topic.full_name(self.settings.namespace),
            key_type=bytes,
            value_type=bytes,
            partitions=self.settings.partitions,
        )


def _names(settings: Settings) -> dict[str, str]:
    return {topic.name: topic.full_name(settings.namespace) for topic in (*TOPICS, AGENTS_TABLE)}
