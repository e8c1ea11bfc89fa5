"""`shadowbus promote`, `approve` and `send-back` against a real broker; a promotion is killed on the way."""

import contextlib
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import fastjsonschema
import pytest
from confluent_kafka import Producer

from shadowbus.cli import logs
from shadowbus.cli.program import run
from shadowbus.clock import Deadline, now_ms
from shadowbus.kafka.read.topic import read_table
from shadowbus.kafka.topics import create_topics
from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.settings import load_settings
from shadowbus.topology import VERDICTS
from staged import Character, Staged

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
TRIAL = "champion@1~challenger@1"
GATE = "[gate]\nmin_requests = 300\nmax_error_rate = 0.01\naccuracy_margin = 0.05\n"

DEPLOY = """
import os, pathlib, time
with open("deployed", "a") as lines:
    lines.write(os.environ["SHADOWBUS_KEY"] + "\\n")
while pathlib.Path("hold").exists():
    time.sleep(0.02)
"""


@dataclass
class Written(Staged):
    """A staged trial that keeps what it was made of, as its topics would hold it."""

    written: list[tuple[str, bytes]] = field(default_factory=list)

    def _take(self, topic: str, values: list[bytes], now_ms: int) -> None:
        super()._take(topic, values, now_ms)
        self.written += [(topic, value) for value in values]


@dataclass
class Desk:
    """One namespace with a trial that can be verified, and the command line over it."""

    bootstrap: str
    namespace: str
    config: Path

    def settle(self, extra: str = "") -> None:
        script = self.config.parent / "deploy.py"
        script.write_text(DEPLOY)
        self.config.write_text(
            f'namespace = "{self.namespace}"\npartitions = 1\n[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n'
            f'[[shadow]]\nname = "challenger"\nmodel = "built/4"\n{GATE}'
            f'[promotion]\ncommand = ["{sys.executable}", "deploy.py"]\n{extra}\n'
        )
        settings = load_settings(self.config)
        create_topics(settings)
        self.staged = Written(settings, {"challenger": Character(0.97)}, start_ms=now_ms() - 3_600_000)

    def play(self, requests: int, failing: float = 0.0) -> str:
        """So many more requests in the topics, and the verdict that follows from them."""
        self.staged.cast["challenger"] = Character(0.97, failing=failing)
        producer, word = Producer({"bootstrap.servers": self.bootstrap}), ""
        published = self.staged.play(requests)
        for topic, value in self.staged.written:
            producer.produce(f"{self.namespace}.{topic}", value, "k")
        self.staged.written.clear()
        for one in published:
            producer.produce(f"{self.namespace}.{one.topic}", one.value, one.key)
            if one.topic == "verdicts":
                word = json.loads(one.value or b"")["verdict"]
        assert producer.flush(20) == 0
        return word

    def loosen(self) -> None:
        """Another gate in the settings; the workers go on with theirs."""
        self.config.write_text(self.config.read_text().replace("max_error_rate = 0.01", "max_error_rate = 0.9"))

    def command(self, verb: str, *flags: str) -> list[str]:
        head = [sys.executable, "-m", "shadowbus", "--config", str(self.config), verb, "--shadow", "challenger"]
        return [*head, *flags]

    def call(self, verb: str, *flags: str) -> tuple[int, str, str]:
        """Within this process, where nobody can be asked; its logs are set up for a whole process, so not here."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(logs, "set_up"),
            mock.patch("sys.stdin", io.StringIO()),
        ):
            try:
                code: object = run(self.command(verb, *flags)[3:])
            except SystemExit as leaving:
                code = leaving.code or 0
        assert isinstance(code, int)
        return code, out.getvalue(), err.getvalue()

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
    assert desk.play(50) == "KEEP_WATCHING"
    code, out, err = desk.call("promote", "--yes")
    assert (code, out) == (1, "")
    assert err == f"The verdict on {TRIAL} is KEEP WATCHING, and only a PROMOTE may be promoted.\n"
    assert desk.play(1_500) == "PROMOTE"
    code, out, _ = desk.call("promote", "--dry-run", "--by", "ann")
    assert (code, out.startswith(f"Would promote {TRIAL}: Runs ")) == (0, True)
    code, _, err = desk.call("promote", "--by", "ann")
    assert (code, err.splitlines()[-1]) == (1, "Not a terminal: pass --yes to confirm.")
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
    assert desk.play(600, failing=0.4) == "SEND_BACK"
    assert desk.call("send-back", "--yes", "--by", "eve")[0] == 0
    assert desk.record is not None
    assert (desk.record["action"], desk.record["step"]) == ("send_back", "done")
    assert len(set(desk.deployed)) == 2


def test_what_needs_approval_is_promoted_after_another_person_approved(desk: Desk) -> None:
    desk.settle("approval = true")
    assert desk.play(1_500) == "PROMOTE"
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


def test_a_verdict_that_does_not_follow_from_the_topics_promotes_nothing(desk: Desk) -> None:
    assert desk.play(600, failing=0.4) == "SEND_BACK"
    forged = read_table(load_settings(desk.config), VERDICTS, Deadline.after(30))[TRIAL.encode()]
    producer = Producer({"bootstrap.servers": desk.bootstrap})
    producer.produce(f"{desk.namespace}.verdicts", forged.replace(b'"SEND_BACK"', b'"PROMOTE"'), TRIAL)
    assert producer.flush(20) == 0
    code, out, err = desk.call("promote", "--yes")
    assert (code, out) == (1, "")
    assert f"The verdict on {TRIAL} is not what follows from the" in err
    assert (desk.deployed, desk.record) == ([], None)


def test_after_the_gate_has_changed_each_verdict_is_acted_on_by_its_own(desk: Desk) -> None:
    assert desk.play(600, failing=0.4) == "SEND_BACK"
    desk.loosen()
    code, _, err = desk.call("verdict", "--verify")
    assert (code, "the verdict is the same, byte for byte" in err) == (20, True), err
    assert "gate.max_error_rate: 0.01 → 0.9" in err
    desk.staged.restart(load_settings(desk.config))
    assert desk.play(40, failing=0.4) == "KEEP_WATCHING"
    code, out, err = desk.call("verdict", "--verify")
    assert (code, "the verdict is the same, byte for byte" in err) == (10, True), err
    said = " ".join(out.split())
    assert "(gate.max_error_rate: 0.01 → 0.9): what was counted before is not part of this verdict." in said
    assert "By the gate of before it was SEND BACK." in said
    code, _, err = desk.call("send-back", "--yes", "--by", "eve")
    assert (code, "It was SEND BACK by the gate of before" in err) == (0, True), err
    assert desk.record is not None
    assert desk.record["step"] == "done"
    assert desk.call("send-back", "--yes", "--by", "bob")[1].startswith("This was done already, by eve")


def test_promote_goes_by_the_gate_of_today_unless_one_is_named(desk: Desk) -> None:
    assert desk.play(1_500) == "PROMOTE"
    desk.loosen()
    code, out, err = desk.call("promote", "--yes")
    assert (code, out) == (1, "")
    assert "gate.max_error_rate: 0.01 → 0.9" in err
    named = err.split("say --gate ")[1].strip(" .\n")
    assert desk.call("promote", "--yes", "--gate", "another")[0] == 1
    assert desk.call("promote", "--dry-run", "--gate", named)[0] == 0
    desk.staged.restart(load_settings(desk.config))
    assert desk.play(1_500) == "PROMOTE"
    assert desk.call("promote", "--yes")[0] == 0


def test_what_the_registry_refuses_is_written_down_and_a_dry_run_finds_out(desk: Desk) -> None:
    class Refusing:
        def plan(self, _: Order) -> Done:
            raise NotDone("MLflow's registry says: there is no version 1.")

        def act(self, _: Order) -> Done:
            raise AssertionError

    assert desk.play(1_500) == "PROMOTE"
    with mock.patch("shadowbus.promotion.means.means_of", return_value=Refusing()):
        code, _, err = desk.call("promote", "--dry-run")
        assert (code, err.splitlines()[-1]) == (1, "MLflow's registry says: there is no version 1.")
        before = desk.record
        assert before is None
        assert desk.call("promote", "--yes", "--by", "ann")[0] == 1
    refused = desk.record or {}
    assert (refused["step"], refused["by"]) == ("failed", "ann")
    assert refused["told"] == "MLflow's registry says: there is no version 1."
    assert desk.call("promote", "--yes", "--by", "bob")[0] == 0
    assert (desk.record or {})["step"] == "done"
