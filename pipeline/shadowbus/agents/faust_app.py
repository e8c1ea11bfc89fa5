"""Faust, set up for topics that are written in transactions.

Two things about Faust are put right here (`docs/decisions/0005-aggregation.md`): it reads what is not committed unless
it runs transactions of its own, and it takes the gap that a transaction leaves between offsets one record too long.
"""

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from shadowbus.agents.faust_kafka import FaustKafka, faust_kafka
from shadowbus.settings import Settings
from shadowbus.topology import MAX_RECORD_BYTES


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        await super()._add_gap(tp, offset_from, offset_to - 1)


class _Transport(driver.Transport):
    Consumer = _Consumer


class App(faust.App):
    """A Faust app over topics that are written in transactions."""

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


def make_app(
    settings: Settings, name: str, worker_id: str = "", serializer: str = "raw", *, declare: bool = True
) -> App:
    """An app that reads committed records only; agents of your own may run on it.

    Args:
        settings: How to reach Kafka.
        name: What it is called; its consumer group and its tables are named `<namespace>.<name>`.
        worker_id: A stable name makes this a static member.
        serializer: How Faust turns keys and values of its tables into bytes, such as `json`; raw takes bytes only.
        declare: Whether Faust creates topics that are missing, its tables' changelogs among them.

    Raises:
        SettingsError: `[kafka]` asks for what Faust's client cannot do.
    """
    kafka, worker = faust_kafka(settings.kafka_for("consumer")), settings.worker
    session = worker.session_timeout_ms / 1000
    folder = settings.state_dir / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return App(
        f"{settings.namespace}.{name}",
        broker=list(kafka.brokers),
        broker_credentials=_credentials(kafka),
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 4,
        broker_request_timeout=max(session, worker.operation_seconds),
        consumer_group_instance_id=worker_id or None,
        consumer_max_fetch_size=MAX_RECORD_BYTES,
        producer_max_request_size=MAX_RECORD_BYTES,
        producer_compression_type="lz4",
        topic_partitions=settings.partitions,
        topic_replication_factor=max(1, settings.replication),  # Faust has no word for the brokers' default
        topic_disable_leader=True,
        topic_allow_declare=declare,
        key_serializer=serializer,
        value_serializer=serializer,
        store="memory://",
        datadir=str(folder),
        web_enabled=False,
    )


def _credentials(kafka: FaustKafka) -> Any:
    if kafka.sasl is not None:
        sasl = kafka.sasl
        return faust.SASLCredentials(
            username=sasl.username, password=sasl.password, mechanism=sasl.mechanism, ssl_context=kafka.tls
        )
    return faust.SSLCredentials(kafka.tls) if kafka.tls is not None else None
