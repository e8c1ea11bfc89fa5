"""Acting on a verdict: what is allowed, in which order, and what each way of acting does, also the second time."""

import contextlib
import json
import resource
import socket
import sys
import tomllib
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from outsiders import Manners, drips, floods, good_news_without_end, outsider, silent
from receiver import Receiver, receiving
from shadowbus.clock import monotonic
from shadowbus.errors import SettingsError
from shadowbus.gates import Gate
from shadowbus.processes.supervised import Backoff
from shadowbus.promotion.command import Command
from shadowbus.promotion.course import (
    NotAllowed,
    Standing,
    approved,
    begun,
    check_verdict,
    ended,
    finished,
    requested,
    unfinished,
)
from shadowbus.promotion.means import means_of
from shadowbus.promotion.mlflow_process import MOST_BYTES, MlflowProcess
from shadowbus.promotion.mlflow_registry import MlflowRegistry
from shadowbus.promotion.order import NotDone, Order
from shadowbus.promotion.webhook import Webhook
from shadowbus.records import Promotion, Verdict, encode
from shadowbus.settings import Settings, masked, parse_settings
from shadowbus.webhook.signature import genuine

SLACK_S = 12.0
"""What a loaded machine may take longer than a deadline."""
TRIAL = "champion@3~challenger@2"
HOLDS = {"name": "accuracy", "value": 0.0432, "low": 0.036, "high": 0.0521, "limit": -0.02, "state": "holds"}
FAILS = {**HOLDS, "name": "error_rate", "value": 0.5, "state": "fails"}


def verdict(word: str = "PROMOTE", since_ms: int = 100) -> Verdict:
    return Verdict(TRIAL, word, [HOLDS, FAILS], 9000, 8000, {}, decided_ms=200, since_ms=since_ms)


def standing(record: Promotion | None = None, word: str = "PROMOTE", since_ms: int = 100) -> Standing:
    return Standing("churn", verdict(word, since_ms), record)


def begin(one: Standing, action: str = "promote", *, approval: bool = False) -> Promotion:
    return begun(one, action, "ann", 5, approval=approval, means="command")


def order(action: str = "promote", report: Path | None = None) -> Order:
    word = "PROMOTE" if action == "promote" else "SEND_BACK"
    return Order(action, verdict(word), "the-key", "ann", report)


@pytest.mark.parametrize(
    ("action", "word"), [("promote", "KEEP_WATCHING"), ("promote", "SEND_BACK"), ("send_back", "PROMOTE")]
)
def test_another_verdict_is_refused_in_words(action: str, word: str) -> None:
    with pytest.raises(NotAllowed, match=f"The verdict on {TRIAL} is {word.replace('_', ' ')}, and only a"):
        check_verdict(standing(word=word), action)
    with pytest.raises(NotAllowed):
        begin(standing(word=word), action)


def test_without_approval_it_begins_and_ends() -> None:
    first = begin(standing())
    assert unfinished(standing(first), "promote") == first
    assert finished(standing(first), "promote") is None
    done = ended(first, "done", "moved", {"version": "2"}, 6)
    assert finished(standing(done), "promote") == done
    assert [one["step"] for one in map(dict[str, Any], done.history)] == ["begun", "done"]  # type: ignore[arg-type]


def test_each_try_has_the_same_key_and_another_verdict_another_one() -> None:
    first = begin(standing())
    again = begin(standing(ended(first, "failed", "no", {}, 6)))
    later = begin(standing(first, since_ms=900))
    assert first.key == again.key
    assert len({first.key, later.key, begin(standing(word="SEND_BACK"), "send_back").key}) == 3


def test_a_promotion_that_needs_approval_goes_from_hand_to_hand() -> None:
    with pytest.raises(NotAllowed, match="needs an approval"):
        begin(standing(), approval=True)
    asked = requested(standing(), "ann", 1)
    with pytest.raises(NotAllowed, match="ann has requested it"):
        begin(standing(asked), approval=True)
    with pytest.raises(NotAllowed, match="somebody else has to approve"):
        approved(standing(asked), "ann", 2)
    given = approved(standing(asked), "bob", 3)
    first = begin(standing(given), approval=True)
    assert (first.approved_by, [(one["step"], one["by"], one["at_ms"]) for one in first.history]) == (  # type: ignore[index]
        "bob",
        [("requested", "ann", 1), ("approved", "bob", 3), ("begun", "ann", 5)],
    )
    assert begin(standing(ended(first, "failed", "no", {}, 6)), approval=True).approved_by == "bob"


def test_an_approval_is_for_one_verdict_that_stands_without_a_break() -> None:
    given = approved(standing(requested(standing(), "ann", 1)), "bob", 2)
    with pytest.raises(NotAllowed, match="needs an approval"):
        begin(standing(given, since_ms=101), approval=True)
    with pytest.raises(NotAllowed, match="Nobody has requested"):
        approved(standing(requested(standing(), "ann", 1), since_ms=101), "bob", 2)


def test_what_was_asked_for_or_approved_is_not_asked_for_again() -> None:
    asked = requested(standing(), "ann", 1)
    with pytest.raises(NotAllowed, match="requested by ann already"):
        requested(standing(asked), "eve", 2)
    with pytest.raises(NotAllowed, match="approved by bob already"):
        approved(standing(approved(standing(asked), "bob", 2)), "eve", 3)
    with pytest.raises(NotAllowed, match="Nobody has requested"):
        approved(standing(), "bob", 3)


def test_sending_back_needs_no_approval_and_keeps_the_history() -> None:
    promoted = ended(begin(standing()), "done", "moved", {}, 6)
    back = begin(standing(promoted, "SEND_BACK", 300), "send_back", approval=True)
    assert [(one["action"], one["step"]) for one in back.history] == [  # type: ignore[index]
        ("promote", "begun"),
        ("promote", "done"),
        ("send_back", "begun"),
    ]


def test_history_is_bounded() -> None:
    one = begin(standing())
    for number in range(200):
        one = begin(standing(ended(one, "failed", "no", {}, number)))
    assert len(one.history) == 50


def test_the_reason_names_what_decided() -> None:
    assert order("send_back").reason == "SEND BACK: error_rate 0.5 (0.036 to 0.0521), limit -0.02"
    assert order().reason == "PROMOTE: accuracy 0.0432 (0.036 to 0.0521), limit -0.02"


# --- a command

SCRIPT = """
import json, os, sys
record = json.load(sys.stdin)
json.dump([record, {k: v for k, v in os.environ.items() if k.startswith("SHADOWBUS_")}, sys.argv[1:]], open("out", "w"))
print("deployed")
"""


def command(folder: Path, script: str, *arguments: str, timeout_s: float = 30.0) -> Command:
    return Command((sys.executable, "-c", script, *arguments), folder, timeout_s)


def test_a_command_is_given_the_record_and_runs_without_a_shell(tmp_path: Path) -> None:
    done = command(tmp_path, SCRIPT, "$HOME; rm -rf *").act(order(report=tmp_path / "r.html"))
    record, environment, arguments = json.loads((tmp_path / "out").read_text())
    assert record == json.loads(encode(verdict()))
    assert arguments == ["$HOME; rm -rf *"]
    assert environment["SHADOWBUS_MODEL"] == "challenger@2"
    assert environment["SHADOWBUS_CHAMPION"] == "champion@3"
    assert environment["SHADOWBUS_KEY"] == "the-key"
    assert environment["SHADOWBUS_VERDICT"] == "PROMOTE"
    assert environment["SHADOWBUS_REPORT"] == str(tmp_path / "r.html")
    assert done.detail == {"exit_code": 0, "said": "deployed\n"}


def test_a_command_that_fails_says_how(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="ended with 3: no room"):
        command(tmp_path, "import sys; print('no room'); sys.exit(3)").act(order())
    with pytest.raises(NotDone, match="cannot be run"):
        Command((str(tmp_path / "absent"),), tmp_path, 5.0).act(order())


def until_gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(pid)
        if child.status() != psutil.STATUS_ZOMBIE:
            child.wait(10)  # raises if it is still there; of a process that is no child it returns None


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    hang = "import subprocess as s; p = s.Popen(['sleep', '60']); open('pid', 'w').write(str(p.pid)); p.wait()"
    with pytest.raises(NotDone, match="longer than 2 s"):
        command(tmp_path, hang, timeout_s=2.0).act(order())
    until_gone(int((tmp_path / "pid").read_text()))


LEAVES = (
    "import subprocess as s; p = s.Popen(['sleep', '60'], start_new_session=True); open('pid', 'w').write(str(p.pid))"
)
CUT_OFF = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("pid", "w").write(str(os.getpid()))
        os.execvp("sleep", ["sleep", "60"])
    os._exit(0)
os.wait()
while not os.path.exists("pid") or not open("pid").read():
    pass
"""
WRITES = "import threading, os\nwhile True: os.write(1, b'x' * 65536)"


def end_what_is_left(folder: Path) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
        psutil.Process(int((folder / "pid").read_text())).kill()


@pytest.mark.parametrize("script", [LEAVES, CUT_OFF])
@pytest.mark.parametrize("code", [0, 3])
def test_a_command_is_over_when_it_ends_whoever_holds_its_output(tmp_path: Path, script: str, code: int) -> None:
    script = f"{script}\nimport sys; print('that was all', flush=True); sys.exit({code})"
    started = monotonic()
    try:
        if code:
            with pytest.raises(NotDone, match="ended with 3: that was all"):
                command(tmp_path, script, timeout_s=30.0).act(order())
        else:
            assert command(tmp_path, script, timeout_s=30.0).act(order()).detail["said"] == "that was all\n"
        assert monotonic() - started < 30.0 - SLACK_S
    finally:
        end_what_is_left(tmp_path)


@pytest.mark.parametrize(
    "script",
    [
        f"{LEAVES}\nimport time; time.sleep(60)",
        f"{CUT_OFF}\nimport time; time.sleep(60)",
        "import os, time; os.close(0); os.close(1); os.close(2); time.sleep(60)",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        WRITES,
    ],
    ids=["leaves", "cut off", "closes", "ignores", "writes"],
)
def test_a_command_that_takes_too_long_is_over_at_its_deadline(tmp_path: Path, script: str) -> None:
    started = monotonic()
    try:
        with pytest.raises(NotDone, match="longer than 2 s"):
            command(tmp_path, script, timeout_s=2.0).act(order())
        assert monotonic() - started < 2.0 + SLACK_S
        if script.startswith(LEAVES):
            until_gone(int((tmp_path / "pid").read_text()))
    finally:
        end_what_is_left(tmp_path)


def test_a_command_that_writes_without_end_takes_no_memory_and_its_last_words_are_kept(tmp_path: Path) -> None:
    script = "import os\nfor _ in range(1000): os.write(1, b'x' * 65536)\nos.write(1, b'the end')"
    tracemalloc.start()
    done = command(tmp_path, script, timeout_s=60.0).act(order())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(done.detail["said"]).endswith("xthe end")
    assert peak < 2 << 20


def test_a_record_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    large = replace(verdict(), criteria=[{**HOLDS, "note": "x" * (1 << 20)}])
    done = command(tmp_path, "print('ok')").act(Order("promote", large, "the-key", "ann"))
    assert done.detail["said"] == "ok\n"


# --- a webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def webhook(receiver: Receiver, timeout_s: float = 20.0) -> Webhook:
    return Webhook(receiver.url(), SIGN, timeout_s, Backoff(first=0.01, most=0.02))


SIGN = "shared"


def test_a_webhook_is_tried_until_it_takes_it_under_one_key(receiver: Receiver) -> None:
    receiver.statuses = [500, 503, 202]
    done = webhook(receiver).act(order())
    assert done.detail == {"status": 202, "tries": 3}
    assert {got.headers["Idempotency-Key"] for got in receiver.got} == {"the-key"}
    got = receiver.got[-1]
    timestamp = got.headers["X-Shadowbus-Timestamp"]
    assert genuine(SIGN, timestamp, got.body, got.headers["X-Shadowbus-Signature"], int(timestamp))
    said = json.loads(got.body)
    assert (said["event"], said["model"], said["by"], said["id"]) == ("promote", "challenger@2", "ann", "the-key")
    assert said["verdict"] == json.loads(encode(verdict()))


def test_a_webhook_that_refuses_or_is_away_too_long_ends_in_words(receiver: Receiver) -> None:
    receiver.statuses = [403]
    with pytest.raises(NotDone, match="answered 403: ok; given up after 1 try"):
        webhook(receiver).act(order())
    receiver.statuses = [503]
    with pytest.raises(NotDone, match="given up after") as caught:
        webhook(receiver, timeout_s=0.3).act(order())
    assert "s3cr3t" not in str(caught.value)


# --- MLflow


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """A real store of MLflow on this disk, with versions 1 and 2 of a model; 1 is the champion, 2 has a run."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "registry").as_uri()
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.create_run(client.create_experiment("training"))
    client.create_registered_model("challenger")
    client.create_model_version("challenger", source=(tmp_path / "1").as_uri())
    client.create_model_version("challenger", source=(tmp_path / "2").as_uri(), run_id=run.info.run_id)
    client.set_registered_model_alias("challenger", "champion", "1")
    return uri, client


def asked(uri: str, model: str = "", timeout_s: float = 120.0) -> MlflowProcess:
    return MlflowProcess(MlflowRegistry(uri, model, "champion", "rejected"), timeout_s)


def holder(client: Any, alias: str) -> str:
    return str(client.get_registered_model("challenger").aliases.get(alias, ""))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mlflow_moves_the_alias_once_and_says_what_it_found(registry: tuple[str, Any], tmp_path: Path) -> None:
    uri, client = registry
    report = tmp_path / "report.html"
    report.write_text("<p>why</p>")
    one = asked(uri)
    plan = one.plan(order())
    assert "from version 1 to version 2" in plan.told
    assert plan.detail["previous"] == "1"
    assert holder(client, "champion") == "1"
    assert one.act(order(report=report)).told.startswith("The alias champion of challenger points at version 2.")
    assert holder(client, "champion") == "2"
    version = client.get_model_version("challenger", "2")
    assert version.tags["shadowbus.trial"] == TRIAL
    assert version.tags["shadowbus.verdict"] == "PROMOTE"
    kept = client.list_artifacts(version.run_id, "shadowbus")
    assert [artifact.path for artifact in kept] == ["shadowbus/report.html"]
    assert "already" in one.plan(order()).told
    assert "already" in one.act(order()).told


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mlflow_marks_what_was_sent_back_with_the_reason(registry: tuple[str, Any]) -> None:
    uri, client = registry
    one = asked(uri, "challenger")
    told = one.act(order("send_back")).told
    assert (holder(client, "rejected"), holder(client, "champion")) == ("2", "1")
    version = client.get_model_version("challenger", "2")
    assert version.description == order("send_back").reason
    assert "champion still" not in told
    one.act(order())
    assert "It is also champion still" in one.act(order("send_back")).told


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_version_that_the_registry_does_not_have_is_one_sentence(registry: tuple[str, Any]) -> None:
    uri, _ = registry
    strange = replace(order(), verdict=replace(verdict(), trial="champion@3~challenger@9"))
    with pytest.raises(NotDone, match=r"MLflow's registry says: .*9") as caught:
        asked(uri).plan(strange)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("manners", [silent, drips, floods])
def test_no_registry_holds_a_promotion_up(manners: Manners) -> None:
    with outsider(manners) as port:
        started = monotonic()
        with pytest.raises(NotDone, match="MLflow's registry"):
            asked(f"http://127.0.0.1:{port}", timeout_s=4.0).plan(order())
        assert monotonic() - started < 4.0 + SLACK_S


def test_a_registry_that_answers_without_end_is_left_before_it_fills_the_memory() -> None:
    with outsider(good_news_without_end) as port, pytest.raises(NotDone, match="MLflow's registry says"):
        asked(f"http://127.0.0.1:{port}", timeout_s=60.0).plan(order())
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < (MOST_BYTES + (1 << 30)) >> 10


def test_what_mlflow_lacks_or_dies_of_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mlflow.py").write_text("raise ModuleNotFoundError('gone', name='mlflow')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="mlflow") as caught:
        asked("http://127.0.0.1:1").plan(order())
    assert caught.value.name == "mlflow"
    (tmp_path / "mlflow.py").write_text("raise RuntimeError('broken install')")
    with pytest.raises(NotDone, match=r"ended with 1: .*broken install"):
        asked("http://127.0.0.1:1").plan(order())


def test_a_registry_that_is_away_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotDone, match=r"MLflow's registry says: .*refused") as caught:
        asked(f"http://127.0.0.1:{port}").plan(order())
    assert "\n" not in str(caught.value)


# --- settings


def parse(text: str) -> Settings:
    return parse_settings(
        tomllib.loads(f'namespace = "churn"\n[promotion]\n{text}'), Path("shadow.toml"), {"S": "s1gn"}
    )


def test_each_shadow_may_name_its_own_registered_model() -> None:
    document = {
        "namespace": "n",
        "shadow": [{"name": "eu", "model": "m", "mlflow_model": "churn-eu"}, {"name": "us", "model": "m"}],
        "promotion": {"mlflow_uri": "http://mlflow.example", "mlflow_model": "churn"},
    }
    settings = parse_settings(document, Path("shadow.toml"), {})
    for shadow, model in (("eu", "churn-eu"), ("us", "churn")):
        means = means_of(settings, shadow)
        assert isinstance(means, MlflowProcess)
        assert means.registry.model == model
    plain = parse_settings({**document, "shadow": [{"name": "eu", "model": "m"}]}, Path("shadow.toml"), {})
    assert Gate.of(plain, "eu").digests == Gate.of(settings, "eu").digests, "a verdict does not depend on it"


def test_the_settings_choose_the_means_and_secrets_are_masked() -> None:
    assert isinstance(means_of(parse('mlflow_uri = "http://u:pw@mlflow.example"')), MlflowProcess)
    assert isinstance(means_of(parse('command = ["./deploy"]')), Command)
    posting = parse('webhook = "https://bot.example/s3cr3t"\nsecret = "${S}"')
    assert isinstance(means_of(posting), Webhook)
    shown = json.dumps([masked(posting), masked(parse('mlflow_uri = "http://u:pw@mlflow.example"'))])
    assert not [secret for secret in ("s3cr3t", "s1gn", "u:pw") if secret in shown]
    with pytest.raises(SettingsError, match=r"has no \[promotion\] that says what to do"):
        means_of(parse(""))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('command = ["x"]\nmlflow_uri = "http://m"', "promotion.mlflow_uri"),
        ('webhook = "ftp://x"\nsecret = "s"', "promotion.webhook"),
        ('webhook = "https://x"', "promotion.secret"),
        ('command = [""]', "promotion.command"),
        ('command = ["x", "a\\u0000b"]', "promotion.command"),
        ('command = "x"', "promotion.command"),
        ('rejected_alias = "champion"', "promotion.rejected_alias"),
        ("timeout_seconds = 0", "promotion.timeout_seconds"),
    ],
)
def test_what_cannot_be_done_is_named(text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        parse(text)
