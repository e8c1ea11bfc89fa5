"""`shadowbus promote`, `approve` and `send-back` against a real broker; a promotion is killed on the way."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from confluent_kafka import Producer

from shadowbus.clock import Deadline
from shadowbus.kafka.tables import read_table
from shadowbus.kafka.topics import create_topics
from shadowbus.records import Verdict, encode
from shadowbus.settings import load_settings
from shadowbus.topology import VERDICTS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
TRIAL = "champion@3~challenger@4"

DEPLOY = """
import os, pathlib, time
with open("deployed", "a") as lines:
    lines.write(os.environ["SHADOWBUS_KEY"] + "\\n")
while pathlib.Path("hold").exists():
    time.sleep(0.02)
"""


@dataclass
class Desk:
    """One namespace with a verdict, and the command line over it."""

    bootstrap: str
    namespace: str
    config: Path

    def settle(self, extra: str = "") -> None:
        script = self.config.parent / "deploy.py"
        script.write_text(DEPLOY)
        self.config.write_text(
            f'namespace = "{self.namespace}"\npartitions = 2\n[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n'
            f'[[shadow]]\nname = "challenger"\nmodel = "built/4"\n'
            f'[promotion]\ncommand = ["{sys.executable}", "deploy.py"]\n{extra}\n'
        )
        create_topics(load_settings(self.config))

    def decide(self, word: str, since_ms: int) -> None:
        one = Verdict(TRIAL, word, [], 9000, 10, {}, decided_ms=since_ms + 1, since_ms=since_ms)
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(f"{self.namespace}.verdicts", encode(one), TRIAL)
        assert producer.flush(20) == 0

    def command(self, verb: str, *flags: str) -> list[str]:
        head = [sys.executable, "-m", "shadowbus", "--config", str(self.config), verb, "--shadow", "challenger"]
        return [*head, *flags]

    def call(self, verb: str, *flags: str) -> tuple[int, str, str]:
        done = subprocess.run(
            self.command(verb, *flags), capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def deployed(self) -> list[str]:
        found = self.config.parent / "deployed"
        return found.read_text().split() if found.exists() else []

    @property
    def record(self) -> dict[str, Any] | None:
        table = read_table(load_settings(self.config), VERDICTS, Deadline.after(30))
        value = table.get(f"{TRIAL}|promotion".encode())
        return json.loads(value) if value else None


@pytest.fixture
def desk(bootstrap: str, namespace: str, tmp_path: Path) -> Desk:
    one = Desk(bootstrap, namespace, tmp_path / "shadow.toml")
    one.settle()
    return one


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline, pause = Deadline.after(seconds), threading.Event()
    while not condition():
        assert not deadline.passed, "it did not come to pass in time"
        pause.wait(0.05)


def test_a_promotion_killed_on_the_way_goes_on_under_its_key_and_ends_once(desk: Desk) -> None:
    code, out, err = desk.call("promote", "--yes")
    assert (code, out, err) == (1, "", "There is no verdict yet on shadow challenger.\n")
    desk.decide("KEEP_WATCHING", 0)
    code, out, err = desk.call("promote", "--yes")
    assert (code, out) == (1, "")
    assert err == f"The verdict on {TRIAL} is KEEP WATCHING, and only a PROMOTE may be promoted.\n"
    desk.decide("PROMOTE", 10)
    code, out, _ = desk.call("promote", "--dry-run", "--by", "ann")
    assert (code, out.startswith(f"Would promote {TRIAL}: Runs ")) == (0, True)
    code, _, err = desk.call("promote", "--by", "ann")
    assert (code, err.splitlines()[-1]) == (1, "Nobody can be asked here whether it shall be done: say --yes.")
    assert (desk.deployed, desk.record) == ([], None)

    hold = desk.config.parent / "hold"
    hold.touch()
    with subprocess.Popen(desk.command("promote", "--yes", "--by", "ann"), stderr=subprocess.PIPE) as process:
        eventually(lambda: len(desk.deployed) == 1)
        process.kill()
    hold.unlink()
    record = desk.record
    assert record is not None
    assert (record["step"], record["by"]) == ("begun", "ann")
    code, out, err = desk.call("promote", "--yes", "--by", "bob", "--json")
    assert code == 0, err
    assert "An earlier run by ann began this and did not say how it ended" in err
    assert len(set(desk.deployed)) == 1
    assert len(desk.deployed) == 2
    written = json.loads(out)
    assert written == desk.record
    assert (written["step"], written["detail"]["exit_code"]) == ("done", 0)
    assert [one["step"] for one in written["history"]] == ["begun", "begun", "done"]
    schema = json.loads((ROOT / "docs" / "schemas" / "verdicts" / "promotion.json").read_text())
    fastjsonschema.compile(schema)(written)

    code, out, _ = desk.call("promote", "--yes")
    assert (code, out.startswith("This was done already, by bob: ")) == (0, True)
    assert len(desk.deployed) == 2
    assert desk.call("verdict")[0] == 0
    desk.decide("SEND_BACK", 20)
    assert desk.call("send-back", "--yes", "--by", "eve")[0] == 0
    assert desk.record is not None
    assert (desk.record["action"], desk.record["step"]) == ("send_back", "done")
    assert len(set(desk.deployed)) == 2


def test_what_needs_approval_is_promoted_after_another_person_approved(desk: Desk) -> None:
    desk.settle("approval = true")
    desk.decide("PROMOTE", 10)
    assert "needs an approval" in desk.call("promote", "--yes", "--by", "ann")[2]
    assert desk.call("promote", "--request", "--by", "ann")[0] == 0
    assert "somebody else has to approve it" in desk.call("approve", "--yes", "--by", "ann")[2]
    assert desk.call("approve", "--yes", "--by", "bob")[0] == 0
    code, _, err = desk.call("promote", "--yes", "--by", "ann")
    assert code == 0, err
    assert desk.record is not None
    assert [(one["step"], one["by"]) for one in desk.record["history"]] == [
        ("requested", "ann"),
        ("approved", "bob"),
        ("begun", "ann"),
        ("done", "ann"),
    ]
