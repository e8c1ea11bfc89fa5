"""The doctor on a real broker: partitioners as librdkafka really has them, and what an operator would be told."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.broker.folder import free_ports
from shadowbus.cli.read.overview import look
from shadowbus.clock import Deadline, now_ms
from shadowbus.doctor.checks import diagnose
from shadowbus.doctor.gather import gather
from shadowbus.partitioners import PARTITIONERS
from shadowbus.topology import DAY_MS
from traffic import Reader, Stream, admin, prediction, request

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

KEYS = [f"id-{number}-{'x' * (number % 7)}" for number in range(200)]


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path) -> Stream:
    return Stream(bootstrap, namespace, tmp_path)


def doctor(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shadowbus", "--config", str(folder / "shadow.toml"), "doctor", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def findings(stream: Stream) -> dict[str, dict[str, Any]]:
    """What the command line finds, by check; stages that do not run are left out."""
    done = doctor(stream.folder, "--json")
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 1)
    return {one["check"]: one for one in document["findings"] if one["check"] != "groups"}


def send(stream: Stream, topic: str, values: list[dict[str, Any]], partitioner: str, stamp: int = 0) -> None:
    """Produce records under their ids, as a librdkafka producer with this partitioner does."""
    producer = Producer({"bootstrap.servers": stream.bootstrap, "partitioner": partitioner})
    for value in values:
        producer.produce(stream.topic(topic), json.dumps(value).encode(), value["request_id"], timestamp=stamp)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("partitions", [3, 8])
@pytest.mark.parametrize(
    ("property_", "name"),
    [("murmur2", "murmur2"), ("murmur2_random", "murmur2"), ("consistent", "CRC32"), ("fnv1a", "FNV-1a")],
)
def test_partitions_are_computed_as_librdkafka_computes_them(
    bootstrap: str, namespace: str, property_: str, name: str, partitions: int
) -> None:
    topic = f"{namespace}-{property_}"
    client = admin(bootstrap)
    client.create_topics([NewTopic(topic, partitions)])[topic].result(20)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": property_})
    placed: dict[bytes, int] = {}

    def note(error: object, message: Any) -> None:
        assert error is None
        placed[message.key()] = message.partition()

    keys = [*(key.encode() for key in KEYS), bytes(range(256)), b"\xff\xfe", "ü".encode()]
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=note)
    assert producer.flush(20) == 0
    assert placed == {key: PARTITIONERS[name](key, partitions) for key in keys}
    assert len(set(placed.values())) == partitions


def test_a_healthy_stack_has_nothing(stream: Stream) -> None:
    wanted = [f"id-{number}" for number in range(500)]
    stream.send_pairs(wanted)
    with stream.worker("up"):
        reader = Reader(stream.bootstrap, stream.topic("comparisons")).until(len(wanted))
        reader.close()
        deadline = Deadline.after(60)
        while (done := doctor(stream.folder)).stdout.startswith("WARNING  Not every stage is running."):
            assert not deadline.passed, done.stdout
    assert (done.returncode, done.stdout) == (
        0,
        f"All is well: 27 checks of {stream.namespace}, 1,000 records sampled.\n",
    )
    assert "\x1b" not in done.stdout


def test_it_leaves_nothing_behind(stream: Stream) -> None:
    stream.send_pairs(KEYS)
    client = admin(stream.bootstrap)
    before = set(client.list_topics(timeout=10).topics)
    assert doctor(stream.folder).returncode == 0
    assert set(client.list_topics(timeout=10).topics) == before
    groups = {group.group_id for group in client.list_consumer_groups().result(20).valid}
    assert not {group for group in groups if group.startswith(stream.namespace)}
    for name in before:
        if name.startswith(f"{stream.namespace}.") and name.partition(".")[2] not in ("requests", "predictions"):
            assert ends(stream.bootstrap, name) == 0, name


def ends(bootstrap: str, topic: str) -> int:
    plain = Consumer({"bootstrap.servers": bootstrap, "group.id": "ends"})
    count = len(plain.list_topics(topic, timeout=10).topics[topic].partitions)
    total = sum(plain.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(count))
    plain.close()
    return total


def test_a_producer_with_librdkafkas_default_is_found_out(stream: Stream) -> None:
    send(stream, "requests", [request(key) for key in KEYS], "murmur2_random")
    send(stream, "predictions", [prediction(key) for key in KEYS], "consistent_random")
    (found,) = findings(stream).values()
    assert (found["check"], found["severity"]) == ("partitioning", "problem")
    assert "predictions: CRC32 (librdkafka's default)" in found["evidence"]
    assert "partitioner=murmur2_random in the librdkafka producer of predictions" in found["fix"]


def test_producers_that_do_many_things_wrong(stream: Stream) -> None:
    send(stream, "requests", [request(key, features={"f00": 1.0}) for key in KEYS], "murmur2_random")
    late = [prediction(key, timestamp_ms=1_700_000_000) for key in KEYS]
    send(stream, "predictions", late, "murmur2_random", stamp=now_ms() - 2 * DAY_MS)
    for _ in range(2):
        stream.send("labels", "user", {"v": 1, "request_id": "id-x", "timestamp_ms": 1_700_000_000_000})
    stream.producer.flush()
    found = findings(stream)
    assert found.keys() == {"clocks", "time-units", "keys", "unique-ids", "shapes", "features"}
    assert "timestamp_ms is in seconds" in found["time-units"]["what"]
    assert "the field 'label' is missing" in found["shapes"]["evidence"]
    assert "key 'user' of id 'id-x'" in found["keys"]["evidence"]
    assert "'f01' (200)" in found["features"]["evidence"]


def test_topics_that_are_not_as_they_should_be(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    odd = {
        "requests": NewTopic(f"{namespace}.requests", 4, config={"retention.ms": "1000"}),
        "predictions": NewTopic(f"{namespace}.predictions", 3, config={"cleanup.policy": "compact"}),
    }
    client = admin(bootstrap)
    for future in client.create_topics(list(odd.values())).values():
        future.result(20)
    stream = Stream(bootstrap, namespace, tmp_path)
    found = findings(stream)
    assert found.keys() == {"retention", "partition-counts", "cleanup", "arrivals", *()} | ({"sizes"} & found.keys())
    assert f"{namespace}.predictions has 3" in found["partition-counts"]["evidence"]
    assert "retention.ms is 1000" in found["retention"]["evidence"]


def test_what_is_missing_is_said_before_the_first_start(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    text = f'namespace = "{namespace}"\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
    text += '[[shadow]]\nname = "new"\nmodel = "nowhere"\n[worker]\ntransaction_timeout_ms = 90000000\n'
    (tmp_path / "shadow.toml").write_text(text)
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("PROBLEM  12 of 12 topics are missing.  [topics]\n")
    for words in ("`shadowbus topics --create`", "is not a model bundle", "transaction_timeout_ms to at most 900000"):
        assert words in done.stdout


def test_kafka_that_is_not_there_is_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "shadow.toml").write_text('namespace = "churn"\n[kafka]\n"bootstrap.servers" = "127.0.0.1:9"\n')
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("PROBLEM  Kafka does not answer.  [kafka]")
    assert "Traceback" not in done.stderr


def test_a_transaction_left_open_is_seen_to_hold_up_readers(stream: Stream) -> None:
    stream.send_pairs(KEYS)
    hanging = Producer({"bootstrap.servers": stream.bootstrap, "transactional.id": f"{stream.namespace}-hanging"})
    hanging.init_transactions(20)
    hanging.begin_transaction()
    hanging.produce(stream.topic("comparisons"), b"{}", b"key", 2)
    assert hanging.flush(20) == 0
    found = findings(stream)
    assert (
        f"{stream.topic('comparisons')}[2] stands at offset 0, 1 records before its end"
        in (found["open-transactions"]["evidence"])
    )
    hanging.abort_transaction(20)
    assert "open-transactions" not in findings(stream)


def test_aggregates_that_are_late_are_found_by_doctor_and_status(stream: Stream) -> None:
    trial, now = "champion@1~challenger@2", now_ms()
    of_all = {"trial": trial, "segment": "all", "window": "all"}
    for count, seconds_ago in ((10, 300), (90, 95)):
        totals = {"statuses": {"compared": count}, "labels": 0}
        partial = {
            **of_all,
            "partition": 0,
            "next_offsets": {},
            "totals": totals,
            "updated_ms": now - 1000 * seconds_ago,
        }
        stream.send("partials", f"{trial}|all|all|0", partial)
    old = {"summary": {}, "books": {}, "totals": {"statuses": {"compared": 10}}, "updated_ms": now - 300_000}
    stream.send("aggregates", f"{trial}|all|all", {**of_all, **old})
    stream.producer.flush()
    found = findings(stream)["verdicts"]
    assert found["severity"] == "problem"
    assert re.search(rf"new totals of {trial} have not been published for (9|1\d)\d s", found["evidence"])
    notes = look(stream.settings, Deadline.after(30)).notes
    assert any(f"{trial}: its aggregates are late" in note for note in notes)
    new = {**old, "totals": {"statuses": {"compared": 90}}, "updated_ms": now - 95_000}
    stream.send("aggregates", f"{trial}|all|all", {**of_all, **new})
    stream.producer.flush()
    assert "verdicts" not in findings(stream)


def test_a_worker_that_is_frozen_is_stuck(stream: Stream) -> None:
    stream.send_pairs(KEYS)
    # A session as long as the test: a frozen member stays a member.
    text = (stream.folder / "shadow.toml").read_text()
    (stream.folder / "shadow.toml").write_text(text + "[worker]\nsession_timeout_ms = 60000\n")
    with stream.worker("aggregate") as worker, stream.worker("replay", "--shadow", "challenger"):
        partials = Reader(stream.bootstrap, stream.topic("partials")).until(1)
        partials.close()
        worker.send_signal(signal.SIGSTOP)
        comparisons = Reader(stream.bootstrap, stream.topic("comparisons"))
        stream.send_pairs([f"more-{number}" for number in range(300)])
        comparisons.until(len(KEYS) + 300)
        comparisons.close()
        evidence = gather(stream.settings)
        worker.send_signal(signal.SIGCONT)
    stuck = [one for one in diagnose(evidence).findings if one.check == "groups" and "stuck" in one.what]
    assert ["aggregate" in one.what for one in stuck] == [True], diagnose(evidence).findings


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A broker with ACLs: the address where anybody is a super user, and the folder of one who has to log in."""
    open_port, guarded_port, controller = free_ports(3)
    addresses = f"PLAINTEXT://127.0.0.1:{open_port},GUARDED://127.0.0.1:{guarded_port}"
    properties = {
        "listeners": f"{addresses},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": addresses,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "listener.name.guarded.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.guarded.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="secret";'
        ),
    }
    with EmbeddedKafka(port=open_port, properties=properties) as kafka:
        stream = Stream(kafka.bootstrap, "churn", tmp_path)
        stream.send_pairs(KEYS)
        text = (tmp_path / "shadow.toml").read_text().replace(kafka.bootstrap, f"127.0.0.1:{guarded_port}")
        login = '"security.protocol" = "SASL_PLAINTEXT"\n"sasl.mechanism" = "PLAIN"\n"sasl.username" = "worker"\n'
        login += '"sasl.password" = "secret"\n[[shadow]]'
        (tmp_path / "shadow.toml").write_text(text.replace("[[shadow]]", login, 1))
        yield kafka.bootstrap, tmp_path


def grant(bootstrap: str, kind: ResourceType, *operations: AclOperation) -> None:
    allow = (ResourcePatternType.PREFIXED, "User:worker", "*")
    rules = [AclBinding(kind, "churn.", *allow, operation, AclPermissionType.ALLOW) for operation in operations]
    client = admin(bootstrap)
    for future in client.create_acls(rules).values():
        future.result(20)


def told(folder: Path) -> dict[str, str]:
    """What is wrong by check, evidence and fix together."""
    document = json.loads(doctor(folder, "--json").stdout)
    return {one["check"]: f"{one['evidence']} {one['fix']}" for one in document["findings"] if one["check"] != "groups"}


def test_missing_rights_are_named_until_they_are_granted(guarded: tuple[str, Path]) -> None:
    bootstrap, folder = guarded
    nothing = told(folder)
    assert "READ topic churn.challenger.replay-changelog, WRITE topic churn.challenger.replay-" in nothing["rights"]
    assert "topics" not in nothing, "a topic that one may not see is not missing"
    assert "`shadowbus rights up --principal User:NAME`" in nothing["transactions"]
    grant(bootstrap, ResourceType.TOPIC, AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    some = told(folder)
    assert "WRITE topic churn.aggregates, WRITE topic churn.challenger.replay-changelog" in some["rights"]
    assert "READ topic" not in some["rights"]
    grant(bootstrap, ResourceType.TOPIC, AclOperation.WRITE)
    grant(bootstrap, ResourceType.GROUP, AclOperation.READ, AclOperation.DESCRIBE)
    assert "rights" not in told(folder)
    grant(bootstrap, ResourceType.TRANSACTIONAL_ID, AclOperation.WRITE, AclOperation.DESCRIBE)
    left = told(folder)
    assert left.keys() <= {"blind-spots"}, left
