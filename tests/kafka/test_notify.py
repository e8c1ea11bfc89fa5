"""`shadowbus notify` against a real broker and a real receiver, killed with -9 where it hurts most."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from confluent_kafka import Producer

from receiver import Receiver, receiving
from shadowbus.clock import Deadline
from shadowbus.kafka.read.topic import read_table
from shadowbus.kafka.topics import create_topics
from shadowbus.records import Verdict, encode
from shadowbus.settings import load_settings
from shadowbus.topology import VERDICTS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline, pause = Deadline.after(seconds), threading.Event()
    while not condition():
        assert not deadline.passed, "it did not come to pass in time"
        pause.wait(0.05)


@contextmanager
def notifying(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "shadowbus", "--config", str(config), "notify", "--worker-id", "one"]
    with log.open("ab") as lines, subprocess.Popen(command, stderr=lines) as process:
        try:
            yield process
        finally:
            process.kill()


def words(receiver: Receiver) -> list[tuple[str, str]]:
    parsed = [json.loads(got.body)["verdict"] for got in receiver.got]
    return [(one["trial"], one["verdict"]) for one in parsed]


def test_each_change_is_told_once_across_kill_9(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        config, log = tmp_path / "shadow.toml", tmp_path / "log"
        config.write_text(
            f'namespace = "{namespace}"\npartitions = 3\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
            f'[[notify]]\nname = "bot"\nformat = "json"\nurl = "{receiver.url()}"\n'
        )
        settings = load_settings(config)
        create_topics(settings)
        producer = Producer({"bootstrap.servers": bootstrap})

        def decide(trial: str, word: str, requests: int) -> None:
            one = Verdict(trial, word, [], requests, labels=0, needed={}, decided_ms=requests)
            producer.produce(f"{namespace}.verdicts", encode(one), trial)
            assert producer.flush(20) == 0

        def known() -> dict[bytes, Any]:
            table = read_table(settings, VERDICTS, Deadline.after(30))
            return {key: json.loads(value) for key, value in table.items() if b"|told|" in key}

        decide("a@1~b@1", "PROMOTE", 1)
        decide("a@1~c@1", "KEEP_WATCHING", 1)
        with notifying(config, log) as process:
            eventually(lambda: b"a@1~b@1|told|bot" in known())
            process.kill()
        decide("a@1~b@1", "PROMOTE", 2)
        release, blocked = threading.Event(), threading.Event()

        def hold() -> None:
            blocked.set()
            release.wait(60)

        receiver.before = hold
        decide("a@1~c@1", "SEND_BACK", 2)
        with notifying(config, log) as process:
            assert blocked.wait(60), log.read_text()
            process.kill()  # it was posted, and nobody knows whether it was taken
        receiver.before = lambda: None
        release.set()
        with notifying(config, log) as process:
            eventually(lambda: b"a@1~c@1|told|bot" in known())
            decide("a@1~b@1", "KEEP_WATCHING", 3)
            eventually(lambda: len(receiver.got) == 4)
            process.terminate()
            assert process.wait(30) == 0, log.read_text()

        assert words(receiver) == [
            ("a@1~b@1", "PROMOTE"),
            ("a@1~c@1", "SEND_BACK"),
            ("a@1~c@1", "SEND_BACK"),
            ("a@1~b@1", "KEEP_WATCHING"),
        ]
        ids = [got.headers["Idempotency-Key"] for got in receiver.got]
        assert ids[1] == ids[2]
        assert len(set(ids)) == 3
        eventually(lambda: known()[b"a@1~b@1|told|bot"]["count"] == 2)
        schema = json.loads((ROOT / "docs" / "schemas" / "verdicts" / "told.json").read_text())
        validate: Any = fastjsonschema.compile(schema)
        assert len([validate(one) for one in known().values()]) == 2
        assert "s3cr3t" not in log.read_text()


def test_readers_of_verdicts_do_not_mind_what_lies_beside_them(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    config = tmp_path / "shadow.toml"
    config.write_text(
        f'namespace = "{namespace}"\npartitions = 1\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
        '[[shadow]]\nname = "b"\nmodel = "built/4"\n'
    )
    create_topics(load_settings(config))
    producer = Producer({"bootstrap.servers": bootstrap})
    one = Verdict("a@1~b@1", "PROMOTE", [], requests=5, labels=0, needed={}, decided_ms=1)
    producer.produce(f"{namespace}.verdicts", encode(one), "a@1~b@1")
    producer.produce(f"{namespace}.verdicts", b'{"trial": "a@1~b@1"}', "a@1~b@1|told|bot")
    assert producer.flush(20) == 0
    command = [sys.executable, "-m", "shadowbus", "--config", str(config)]
    shown = subprocess.run([*command, "verdict", "--shadow", "b"], capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    status = subprocess.run([*command, "status", "--json"], capture_output=True, text=True, timeout=60)
    assert "cannot be used" not in status.stderr
    assert [found["trial"] for found in json.loads(status.stdout)["verdicts"]] == ["a@1~b@1"]
