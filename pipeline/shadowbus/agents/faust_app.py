"""Faust, set up for topics that are written in transactions.

In: the settings' librdkafka properties. Faust's client (aiokafka) takes from them where the brokers are, TLS, and SASL
with PLAIN or SCRAM. Whatever would make a connection less safe than asked for raises and is never left out; any other
property only tunes librdkafka. Out: an app on which agents run.

Two things about Faust are put right here (`docs/decisions/0005-aggregation.md`): it reads what is not committed unless
it runs transactions of its own, and it takes the gap that a transaction leaves between offsets one record too long.
That takes names which Faust and aiokafka do not promise to keep; all of them are in `PRIVATE_NAMES`, and so
`faust-streaming` has an upper bound in pyproject.toml.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from shadowbus.errors import SettingsError
from shadowbus.settings import Settings
from shadowbus.topology import MAX_RECORD_BYTES

PRIVATE_NAMES = {
    "faust.app.base:App._new_transport": "the one place where an app chooses its transport",
    "faust.transport.drivers.aiokafka:Transport.Consumer": "the class of its consumer",
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread": "the thread that owns aiokafka's consumer",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "makes aiokafka's consumer",
    "faust.transport.consumer:Consumer._add_gap": "marks a gap between offsets as done, one record too many",
    "aiokafka:AIOKafkaConsumer._isolation_level": "the isolation level, which Faust offers no setting for",
}
"""Each name that is used without a promise, as module:class.name, and what for."""

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_USED = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
}


@dataclass(frozen=True, slots=True)
class Sasl:
    """Who logs in, and how."""

    mechanism: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class FaustKafka:
    """How Faust reaches Kafka: `kafka://` addresses, and credentials where the cluster asks for them."""

    brokers: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    sasl: Sasl | None = None


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


def faust_kafka(properties: Mapping[str, object]) -> FaustKafka:
    """Translate librdkafka properties.

    Raises:
        SettingsError: There is no bootstrap server, or the security asked for is more than Faust's client can do.
    """
    text = {key: str(value) for key, value in properties.items()}
    servers = [server.strip() for server in text.get("bootstrap.servers", "").split(",") if server.strip()]
    if not servers:
        raise SettingsError('[kafka] needs "bootstrap.servers", such as "localhost:9092".')
    for key in text:
        if key.startswith(("ssl.", "sasl.", "security.", "enable.ssl.", "https.")) and key not in _USED:
            raise SettingsError(f"The agents cannot use the property {key!r} of [kafka]; the other workers can.")
    protocol = text.get("security.protocol", "plaintext").lower()
    if protocol not in PROTOCOLS:
        raise SettingsError(f"[kafka] security.protocol has to be one of {', '.join(PROTOCOLS)}, not {protocol!r}.")
    return FaustKafka(
        tuple(f"kafka://{server.rpartition('://')[2]}" for server in servers),
        _tls(text) if protocol.endswith("ssl") else None,
        _sasl(text) if protocol.startswith("sasl") else None,
    )


def _sasl(text: Mapping[str, str]) -> Sasl:
    mechanism = text.get("sasl.mechanism", text.get("sasl.mechanisms", "GSSAPI")).upper()
    if mechanism not in MECHANISMS:
        raise SettingsError(f"The agents can log in with {', '.join(MECHANISMS)}, not with sasl.mechanism {mechanism}.")
    for key in ("sasl.username", "sasl.password"):
        if not text.get(key):
            raise SettingsError(f"[kafka] needs {key!r} for sasl.mechanism {mechanism}.")
    return Sasl(mechanism, text["sasl.username"], text["sasl.password"])


def _tls(text: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=text.get("ssl.ca.location"))
        if certificate := text.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, text.get("ssl.key.location"), text.get("ssl.key.password"))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"A certificate or key named in [kafka] cannot be used: {error}.") from error
    verify = text.get("enable.ssl.certificate.verification", "true").lower() == "true"
    if not verify or text.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    return context
