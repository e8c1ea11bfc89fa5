"""The agents: partials in, aggregates out, for people and dashboards. Runs on Faust.

When partitions are assigned, the compacted topic of partials is read from its beginning; from there on an agent takes
what comes, and what changed is published every `publish_seconds`. Guaranteed: at least once over partials that say all
that was counted so far, so a crash, or a record that comes again, changes nothing in what is published. Where Faust
brings nothing for `LATE_SECONDS` although there is more, the topic is read once more. Nothing that decides depends on
this: when the agents are down, aggregates are late, and verdicts go on.
"""

import asyncio
import contextlib
import logging
import os
import threading
from typing import Any

from shadowbus import topology
from shadowbus.agents.aggregates import Aggregates
from shadowbus.agents.faust_app import make_app
from shadowbus.clock import Deadline, monotonic, now_ms, thread_seconds
from shadowbus.decide.claims import Real
from shadowbus.errors import BrokerError, Malformed, Retry
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.serve import exported
from shadowbus.exporter.trials import Trials
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.error_classes import as_next_action
from shadowbus.kafka.permissions import check_group, check_start
from shadowbus.kafka.read.ends import Ends
from shadowbus.kafka.read.offsets import readable
from shadowbus.kafka.read.ranges import consume_ranges
from shadowbus.kafka.topic_ids import require_topics
from shadowbus.partitioners import partition_of
from shadowbus.processes.signals import stop_on_signals
from shadowbus.settings import Settings
from shadowbus.stage import RecordBatch
from shadowbus.throttle import throttle
from shadowbus.topology import AGGREGATES, PARTIALS, Topic

LOOK_SECONDS = 0.1
WATCH_SECONDS = 5.0
LATE_SECONDS = 10.0
"""After so long without a record of those that there are, the partials are read again from their beginning."""
STUCK_SECONDS = 60.0
"""And after so long the process ends, so that it is started again."""
STOP_SECONDS = 5.0
READ_SECONDS = 60.0
REST = 3.0
"""After publishing, the agents rest for this many times as long as they worked."""
MOST_REST_SECONDS = 5.0
"""The longest rest. What they waited for Kafka is no work, and asks for no rest."""

Row = tuple[bytes | None, bytes | None]

logger = logging.getLogger("shadowbus.agents")


def run_agents(settings: Settings, stop: threading.Event | None = None, worker_id: str = "") -> None:
    """Merge partials until `stop` is set, or, without one, until SIGTERM or SIGINT.

    Args:
        settings: How to reach Kafka, and how often to publish.
        stop: Set it to end.
        worker_id: A stable name makes this a static member: a restart under the same name takes over at once.

    Raises:
        SettingsError: `[kafka]` asks for what Faust's client cannot do.
        BrokerError: A topic or a right is missing, or Faust gave up; nothing is lost, start again.
    """
    for name in ("faust", "mode", "aiokafka", __name__):  # Faust's services log under the name of their module
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))
    throttle(("faust", "mode", "aiokafka"))
    require_topics(make_admin(settings), _names(settings))
    meter, trials = Meter("agents", worker=worker_id), Trials()
    with contextlib.ExitStack() as opened:
        stopping = opened.enter_context(stop_on_signals()) if stop is None else stop
        shown = trials if opened.enter_context(exported(settings.metrics, meter, trials)) else None
        asyncio.run(_Agents(settings, worker_id, meter, shown, owns_process=stop is None).serve(stopping))


class _Agents:
    """One Faust app over the partials of one namespace; `shown` are the trials that Prometheus is to see, if any.

    Attributes:
        owned: The partitions of the partials that are held.
        read_to: By partition, up to where its partials were read.
        fresh: What came since and was not taken yet.
    """

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
        self.out = self._topic(AGGREGATES)
        self.ends = Ends(settings, [topic for topic in topology.TOPICS if topic.name in topology.AGENTS.measures])
        self.aggregates = Aggregates(settings)
        self.owned: frozenset[int] = frozenset()
        self.read_to: dict[int, int] = {}
        self.fresh: list[Row] = []
        self.assigned, self.whole, self.heard_at = False, False, monotonic()
        self.publish_at, self.denied = 0.0, ""
        self.app.on_partitions_assigned.connect(self._on_assigned)
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.agent(self._topic(PARTIALS), name="keep")(self._keep)

    async def serve(self, stop: threading.Event) -> None:
        """Run the app until `stop` is set or it has crashed."""
        starting, watch = asyncio.ensure_future(self.app.start()), asyncio.create_task(self._watch())
        publishing = asyncio.create_task(self._publish())
        failed = False
        try:
            while not (stop.is_set() or self.app.should_stop or self.app.crashed or watch.done() or failed):
                await asyncio.sleep(LOOK_SECONDS)
                self.meter.turned(monotonic())
                failed = starting.done() and (starting.cancelled() or starting.exception() is not None)
        finally:
            publishing.cancel()
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
            logger.error("Faust did not end within %.0f s and is cut off%s", STOP_SECONDS, reason and f": {reason}")
            logging.shutdown()
            os._exit(1 if reason else 0)

    async def _keep(self, stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            self.heard_at = monotonic()
            self.meter.read[PARTIALS.name] += 1
            if message.offset >= self.read_to.get(message.partition, 0):
                self.read_to[message.partition] = message.offset + 1
                self.fresh.append((event.key, event.value))
                self.meter.unpublished_ms = self.meter.unpublished_ms or now_ms()

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        """Other partitions are held: begin again with them. May not raise: Faust would idle on."""
        name = PARTIALS.full_name(self.settings.namespace)
        self.owned = frozenset(tp.partition for tp in self.app.consumer.assignment() if tp.topic == name)
        self.aggregates, self.fresh, self.read_to = Aggregates(self.settings), [], {}
        self.assigned, self.whole, self.heard_at = True, False, monotonic()
        self._holds(len(self.owned))
        logger.info("agents hold partitions %s", sorted(self.owned))

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        """Publish nothing until it is clear which partitions are held."""
        self.owned, self.assigned = frozenset(), False
        self._holds(0)

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(max(self.settings.aggregate.publish_seconds, self.publish_at - monotonic()))
            held, worked = self.owned, thread_seconds()
            try:
                if held and (self.whole or await self._read_all(held)) and await self._take():
                    await self._send()
            except (Retry, BrokerError) as error:
                logger.warning("aggregates are not published, trying again: %s", error)
                self.denied = str(error) if isinstance(error, BrokerError) else ""
            except Exception as error:
                logger.warning("aggregates are not published, trying again: %r", error)
            self.publish_at = monotonic() + min(MOST_REST_SECONDS, REST * (thread_seconds() - worked))

    async def _read_all(self, held: frozenset[int]) -> bool:
        """Read the partials of the partitions that are held from their beginning; whether they are still held then."""
        limits = await asyncio.to_thread(self._limits)
        real, aggregates = Real(await asyncio.to_thread(self.ends.look, WATCH_SECONDS), now_ms()), self.aggregates

        def give(piece: RecordBatch) -> None:
            for row in zip(piece.keys, piece.values, strict=True):
                _take(aggregates, row)

        aggregates.real = real
        ranges = {(PARTIALS.name, one): (limits[one].start, limits[one].stop) for one in held}

        def read() -> None:
            for batch in consume_ranges(self.settings, _names(self.settings), ranges, silence_s=READ_SECONDS):
                give(batch)

        await asyncio.to_thread(read)
        if held is not self.owned:
            return False
        for one in held:
            self.read_to[one] = max(limits[one].stop, self.read_to.get(one, 0))
        self.whole = True
        return True

    async def _take(self) -> bool:
        """Take what came; whether these partitions are still held."""
        held, fresh = self.owned, self.fresh
        if fresh:
            self.fresh = []
            try:
                self.aggregates.real = Real(await asyncio.to_thread(self.ends.look, WATCH_SECONDS), now_ms())
            except (Retry, BrokerError):
                self.whole = False  # what came is read again
                raise
            if held is not self.owned:
                return False
            for row in fresh:
                _take(self.aggregates, row)
        return True

    async def _send(self) -> None:
        """Publish the aggregates that changed."""
        started, waiting = monotonic(), self.meter.unpublished_ms
        self.meter.unpublished_ms = 0
        aggregates, owned, sent, failed = self.aggregates, self.owned, list[tuple[bytes, bytes | None, Any]](), False
        for key, value in aggregates.changes(lambda trial: self._home(trial) in owned):
            sent.append((key, value, await self.out.send(key=key, value=value)))
            await asyncio.sleep(0)
        for key, value, acknowledged in sent:
            try:
                await acknowledged
            except Exception as error:
                logger.warning("an aggregate could not be published, trying again: %r: %r", key, error)
                aggregates.forget(key)
                failed = True
            else:
                self.meter.written[AGGREGATES.name] += 1
                if self.shown is not None:
                    self.shown.take(AGGREGATES.name, key, value)
        if failed:
            self.meter.unpublished_ms = waiting
        self.meter.last_commit_ms = now_ms()  # also where nothing was new: that is no agent that is stuck
        if sent:
            self.meter.batches += 1
            self.meter.committed(monotonic() - started, now_ms())

    async def _watch(self) -> str:
        """Returns when Faust has stopped reading, or never began to, without a word; why, in plain words.

        Raises:
            BrokerError: A right is missing, of which Faust says nothing a person could act on.
        """
        admin = make_admin(self.settings)
        while True:
            await asyncio.to_thread(self._check)
            await asyncio.sleep(WATCH_SECONDS)
            if self.denied:
                return self.denied
            try:
                await asyncio.to_thread(require_topics, admin, _names(self.settings))
                limits = await asyncio.to_thread(self._limits)
            except BrokerError as error:
                return str(error)
            except Retry:
                self.heard_at = monotonic()
                continue  # Kafka is away: nobody can read
            if why := self._late(limits):
                return why

    def _late(self, limits: dict[int, range]) -> str:
        """Read again what Faust has not brought; why there is no use in going on, if so."""
        ends = {one: limits[one].stop for one in self.owned if one in limits}
        lags = {one: max(0, end - self.read_to.get(one, 0) - 1) for one, end in ends.items()}  # 1: a commit's marker
        self.meter.lags = {(PARTIALS.name, one): lag for one, lag in lags.items()}
        silent = monotonic() - self.heard_at
        if self.assigned and not any(lags.values()):
            self.heard_at = monotonic()
        elif silent > STUCK_SECONDS:
            what = "has brought no partial, and there are some" if self.assigned else "has waited for its group"
            return f"Faust {what} for {silent:.0f} s"
        elif silent > LATE_SECONDS and self.assigned and self.whole:
            logger.warning("Faust has brought no partial for %.0f s, and there are some: they are read again", silent)
            self.whole = False
        return ""

    def _limits(self) -> dict[int, range]:
        """The committed offsets of each partition of the partials."""
        name, numbers = PARTIALS.full_name(self.settings.namespace), range(self.settings.partitions)
        with as_next_action("asking where the partials end"):
            places = [(name, number) for number in numbers]
            found = readable(make_admin(self.settings), places, Deadline.after(WATCH_SECONDS))
        return {number: found[name, number] for number in numbers}

    def _check(self) -> None:
        check_start(self.settings, ("agents",))
        if not self.assigned:
            check_group(self.settings, ("agents",))

    def _holds(self, partitions: int) -> None:
        self.meter.holds(partitions)
        if self.shown is not None:
            self.shown.forget()

    def _home(self, trial: str) -> int:
        return partition_of(trial.encode(), self.settings.partitions)

    def _topic(self, topic: Topic) -> Any:
        name, partitions = topic.full_name(self.settings.namespace), self.settings.partitions
        return self.app.topic(name, key_type=bytes, value_type=bytes, partitions=partitions)


def _take(aggregates: Aggregates, row: Row) -> None:
    """Take a record; one that cannot be used is left out, and the decide stage sets it aside."""
    try:
        aggregates.take(*row)
    except Malformed as error:
        logger.warning("a partial that cannot be used is left out: %r: %s", row[0], error)


def _names(settings: Settings) -> dict[str, str]:
    return {topic.name: topic.full_name(settings.namespace) for topic in (PARTIALS, AGGREGATES)}
