"""A compacted topic as a table that members of a group share: each partition is held by one of them at a time.

In: the topic's records. Out: the newest value of each key, of the partitions that this member holds now. Guaranteed: a
partition is read from its beginning whenever it is assigned, and `ready` is False until all that was there has been
read, so nobody acts on half a table. Nothing is committed: the table is the state.
"""

import logging
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, make_consumer
from shadowbus.kafka.error_classes import PASSING, as_next_action
from shadowbus.kafka.reaching import existing_topics
from shadowbus.kafka.read.batches import batches_of
from shadowbus.settings import Settings
from shadowbus.stage import Input
from shadowbus.topology import Topic

BATCH = 1_000

logger = logging.getLogger("shadowbus.kafka")


class GroupTable:
    """This member's part of the table.

    Args:
        settings: How to reach Kafka.
        topic: A topic that keeps the newest value per key.
        role: What the group is called, without the namespace.
        worker_id: A stable name makes this a static member: a restart under it takes over at once.

    Raises:
        BrokerError: The topic is missing, or Kafka does not answer.
    """

    def __init__(self, settings: Settings, topic: Topic, role: str, worker_id: str = "") -> None:
        name = topic.full_name(settings.namespace)
        if not existing_topics(make_admin(settings), [name]):
            raise BrokerError(f"The topic {name} is missing: create it with `shadowbus topics --create`.")
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        """By key: in which partition it is, and its newest value."""
        self._role = role
        self._topics = {name: topic.name}
        self._held: set[Input] = set()
        self._behind: set[Input] = set()
        session = settings.worker.session_timeout_ms
        self._consumer = make_consumer(
            settings,
            **{
                "group.id": f"{settings.namespace}.{role}",
                "partition.assignment.strategy": "range",
                "enable.partition.eof": True,
                "session.timeout.ms": session,
                "heartbeat.interval.ms": max(100, session // 4),
                **({"group.instance.id": worker_id} if worker_id else {}),
            },
        )
        self._consumer.subscribe([name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    @property
    def ready(self) -> bool:
        """Whether something is held, and all of it that was there has been read."""
        return bool(self._held) and not self._behind

    def poll(self, seconds: float) -> bool:
        """Take what is new, and wait for it that long.

        Returns:
            Whether the table, or whether it is ready, has changed.

        Raises:
            Fenced: Somebody else goes by the same worker id.
            BrokerError: A person has to act.
        """
        before = self.ready
        with as_next_action(self._role):
            batches, ends = batches_of(self._consumer.consume(BATCH, seconds), self._topics, PASSING)
        for batch in batches:
            for key, value in zip(batch.keys, batch.values, strict=True):
                if batch.input in self._held and key is not None:
                    if value is None:
                        self.rows.pop(key, None)
                    else:
                        self.rows[key] = batch.partition, value
        self._behind -= set(ends)
        return bool(batches) or before != self.ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            one.offset = OFFSET_BEGINNING
        consumer.assign(partitions)
        self.rows.clear()
        self._held = {(self._topics[one.topic], one.partition) for one in partitions}
        self._behind = set(self._held)
        logger.info("holds %s", ", ".join(f"{topic}/{number}" for topic, number in sorted(self._held)) or "nothing")

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.rows.clear()
        self._held, self._behind = set(), set()
