"""What Kafka refuses ends a worker with the reason and what to do; what only fails to lead anywhere ends it too."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guarded import Guarded, guarded_kafka
from patiently import until
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.worker.job import Job
from shadowbus.stage import Outputs, RecordBatch, Stage
from shadowbus.topology import COMPARISONS, REQUESTS
from shadowbus.worker import run_worker
from traffic import Reader, Stream, end, request

pytestmark = pytest.mark.kafka

SOON_S = 60.0
QUICK = "[worker]\noperation_seconds = 5.0\n"


@dataclass
class Door:
    """A stream behind a login."""

    kafka: Guarded
    stream: Stream

    def log_in(self, **wrong: str) -> None:
        """Write the settings so, with some of it wrong."""
        path = self.stream.folder / "shadow.toml"
        login = {**self.kafka.kafka("nobody"), **{name.replace("_", "."): value for name, value in wrong.items()}}
        head, _, rest = path.read_text().partition("[kafka]\n")
        text = "".join(f'"{name}" = "{value}"\n' for name, value in login.items())
        path.write_text(f"{head}[kafka]\n{text}{rest[rest.index('[[shadow]]') :]}")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with guarded_kafka() as kafka:
        yield Door(kafka, Stream(kafka.open, "churn", tmp_path_factory.mktemp("door"), extra=QUICK))


def ended(stream: Stream, *arguments: str) -> str:
    """What a worker says that is started so; it has to end by itself, with exit code 1."""
    before = len(stream.logs()) if (stream.folder / "workers.log").exists() else 0
    worker = stream.start(*arguments)
    try:
        assert worker.wait(SOON_S) == 1, stream.logs()[before:]
    except subprocess.TimeoutExpired:
        end(worker)
        pytest.fail(f"it looks healthy: {stream.logs()[before:][-2000:]}")
    return stream.logs()[before:]


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"sasl_password": "wrong"}, "Authentication failed"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "SCRAM-SHA-256"),
    ],
    ids=["password", "mechanism"],
)
@pytest.mark.parametrize("verb", [("judge",), ("replay", "--shadow", "challenger")], ids=["judge", "replay"])
def test_a_login_that_is_refused_ends_a_worker_with_the_reason(
    door: Door, login: dict[str, str], said: str, verb: tuple[str, ...]
) -> None:
    door.log_in(**login)
    told = ended(door.stream, *verb).splitlines()[-1]
    assert f"Kafka refuses {verb[0]}" in told
    assert said in told
    assert "Correct the user, password, mechanism or certificate in [kafka]" in told


def test_a_broker_that_hangs_up_in_the_handshake_is_waited_for_and_named(door: Door) -> None:
    """A broker that goes away in that moment looks the same, so it is no reason to end; the line says what it was."""
    door.log_in(security_protocol="SASL_SSL")
    before = len(door.stream.logs()) if (door.stream.folder / "workers.log").exists() else 0
    worker = door.stream.start("judge")
    try:
        until(lambda: "when Kafka is there" in door.stream.logs()[before:], door.stream)
        assert worker.poll() is None
    finally:
        end(worker)
    (line,) = [one for one in door.stream.logs()[before:].splitlines() if "when Kafka is there" in one]
    assert "connecting to a PLAINTEXT broker listener?" in line


@pytest.mark.parametrize("verb", [("judge",), ("replay", "--shadow", "challenger"), ("aggregate",)], ids=lambda v: v[0])
def test_a_setting_that_the_brokers_do_not_take_ends_a_worker_with_the_reason(
    bootstrap: str, namespace: str, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    stream = Stream(bootstrap, namespace, tmp_path, extra="[worker]\ntransaction_timeout_ms = 100000000\n")
    told = ended(stream, *verb).splitlines()[-1]
    assert "INVALID_TRANSACTION_TIMEOUT" in told
    assert "[worker]" in told


def test_a_session_that_the_brokers_do_not_take_ends_a_worker(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    extra = '[kafka.consumer]\n"max.poll.interval.ms" = 9000000\n[worker]\nsession_timeout_ms = 3600000\n'
    assert "INVALID_SESSION_TIMEOUT" in ended(Stream(bootstrap, namespace, tmp_path, extra=extra), "judge")


class Poisoned(Stage):
    """A stage that fails in a way which looks as if it could pass, at the same record each time."""

    def restore(self, batch: RecordBatch) -> None:
        raise AssertionError("it keeps nothing")

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        outputs = Outputs()
        for piece in batches:
            for key in piece.keys:
                if key == b"poison":
                    raise Retry("this record cannot be worked on")
                outputs.add("comparisons", piece.partition, key, b"{}")
            outputs.positions[piece.input] = piece.next_offset
        return outputs


def test_restarts_that_lead_to_nothing_end_a_worker(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path, extra="[worker]\nrestarts_without_progress = 3\n")
    ids = [f"request-{number:03d}" for number in range(50)]
    for key in ids:
        stream.send("requests", key, request(key))
    stream.producer.flush()
    job = Job("copy", (REQUESTS,), (COMPARISONS,), lambda _: Poisoned())
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run_worker(job, stream.settings, threading.Event())
        except BrokerError as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    comparisons = Reader(bootstrap, stream.topic("comparisons")).until(len(ids))
    comparisons.close()
    stream.send("requests", "poison", request("poison"))
    stream.producer.flush()
    thread.join(SOON_S)
    assert not thread.is_alive(), "it starts again for ever"
    assert "has started again 3 times" in str(failures[0])
    assert "this record cannot be worked on" in str(failures[0])
