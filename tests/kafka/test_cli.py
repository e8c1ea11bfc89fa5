"""The command line against a real broker."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from shadowbus.cli.read.overview import group_name
from shadowbus.clock import Deadline
from shadowbus.kafka.read.topic import read_table
from shadowbus.kafka.topics import create_topics
from shadowbus.kafka.worker.job import Job
from shadowbus.settings import load_settings
from shadowbus.topology import JUDGE, REPLAY, VERDICTS
from traffic import Reader, Stream, admin

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TRIAL = "champion@3~challenger@4"
VERBS = ("replay", "judge", "aggregate", "decide", "agents")


@dataclass
class Desk:
    """One namespace, the command line over it, and a plain producer."""

    bootstrap: str
    namespace: str
    config: Path

    def __post_init__(self) -> None:
        self.config.write_text(
            f'namespace = "{self.namespace}"\npartitions = 2\n[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n'
            '[[shadow]]\nname = "challenger"\nmodel = "built/4"\n'
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "shadowbus", "--config", str(self.config), *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)

    def produce(self, topic: str, records: Mapping[str, object], **properties: object) -> None:
        """Write records by their keys: bytes as they are, None as a tombstone, anything else as JSON."""
        producer = Producer({"bootstrap.servers": self.bootstrap, **properties})
        for key, value in records.items():
            raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
            producer.produce(f"{self.namespace}.{topic}", raw, key)
        assert producer.flush(20) == 0


@pytest.fixture
def empty(bootstrap: str, namespace: str, tmp_path: Path) -> Desk:
    return Desk(bootstrap, namespace, tmp_path / "shadow.toml")


@pytest.fixture
def desk(empty: Desk) -> Desk:
    create_topics(load_settings(empty.config))
    return empty


def comparison(request_id: str, **changes: object) -> dict[str, Any]:
    side = {"model": "champion@3", "prediction": "no", "scores": None, "latency_ms": 1.25, "error": None}
    record = {"v": 1, "request_id": request_id, "timestamp_ms": 1_700_000_000_000, "trial": TRIAL, "status": "compared"}
    more = {"agree": True, "distance": 0.0, "weight": 1.0, "segments": {}, "missing_features": []}
    return {**record, "live": side, "shadow": {**side, "latency_ms": None}, **more, **changes}


def verdict(word: str, trial: str = TRIAL, decided_ms: int = 1) -> bytes:
    criterion = {"name": "error_rate", "value": 0.25, "low": 0.125, "high": 0.5, "limit": 0.001, "state": "fails"}
    record = {"trial": trial, "verdict": word, "criteria": [criterion], "requests": 4321, "labels": 17}
    needed = {"requests": 1902, "labels": 0, "note": "PROMOTE, at the present rates."}
    return json.dumps({**record, "needed": needed, "decided_ms": decided_ms, "v": 1, "more": " ü"}).encode()


def test_broker_says_ready_once_and_ends_when_asked_to(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running([sys.executable, "-m", "shadowbus", "broker", "--port", str(port)]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready 127.0.0.1:{port}\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.wait(30) == 0


def test_topics_are_created_once_and_checked(empty: Desk) -> None:
    names = sorted(f"{empty.namespace}.{name}" for name in ("requests", "challenger.replay-changelog", "verdicts"))
    before = empty.call("topics", "--check", "--json")
    assert before.returncode == 1
    missing = {one["topic"] for one in json.loads(before.stdout)["differences"] if one["found"] == "missing"}
    assert missing.issuperset(names)
    assert not missing & set(admin(empty.bootstrap).list_topics(timeout=10).topics), "a check creates nothing"
    created = empty.call("topics", "--create")
    assert created.returncode == 0
    assert created.stdout.splitlines() == [f"created {name}" for name in sorted(missing)]
    again, after = empty.call("topics", "--create"), empty.call("topics", "--check")
    assert (again.returncode, again.stdout) == (0, "")
    assert (after.returncode, after.stdout) == (0, f"All {len(missing)} topics are as they should be.\n")


def test_topics_that_differ_are_told_and_left_alone(empty: Desk) -> None:
    wrong = NewTopic(f"{empty.namespace}.verdicts", 3, config={"cleanup.policy": "delete"})
    client = admin(empty.bootstrap)
    client.create_topics([wrong])[wrong.topic].result(20)
    created = empty.call("topics", "--create")
    assert created.returncode == 0
    assert wrong.topic not in created.stdout
    assert f"{wrong.topic}: partitions is 3, wanted 2" in created.stderr
    for _ in range(2):
        checked = json.loads(empty.call("topics", "--check", "--json").stdout)
        assert checked["ok"] is False
        found = {(one["topic"], one["what"]): (one["wanted"], one["found"]) for one in checked["differences"]}
        assert found[wrong.topic, "partitions"] == ("2", "3")
        assert found[wrong.topic, "cleanup.policy"] == ("compact", "delete")
        assert {topic for topic, _ in found} == {wrong.topic}
    shown = empty.call("topics", "--check")
    assert shown.returncode == 1
    row = next(line for line in shown.stdout.splitlines() if "cleanup.policy" in line)
    assert row.split() == [wrong.topic, "cleanup.policy", "compact", "delete"]


@pytest.mark.parametrize(("word", "code"), [("PROMOTE", 0), ("KEEP_WATCHING", 10), ("SEND_BACK", 20)])
def test_the_exit_code_is_the_verdict_and_json_is_the_very_record(desk: Desk, word: str, code: int) -> None:
    desk.produce("verdicts", {TRIAL: verdict("PROMOTE" if code else "SEND_BACK")})
    desk.produce("verdicts", {TRIAL: verdict(word), "other~else@1": verdict("PROMOTE", "other~else@1", 9)})
    as_json = subprocess.run(desk.command("verdict", "--shadow", "challenger", "--json"), capture_output=True)
    assert (as_json.returncode, as_json.stdout.count(b"\n"), as_json.stderr) == (code, 1, b"")
    assert json.loads(as_json.stdout) == json.loads(verdict(word))
    shown = desk.call("verdict", "--shadow", "challenger")
    assert (shown.returncode, shown.stderr) == (code, "")
    assert shown.stdout.startswith(f"{word.replace('_', ' ')} {TRIAL}\n4,321 requests, 17 labels\n")
    row = next(line for line in shown.stdout.splitlines() if line.startswith("error_rate"))
    assert row.split() == ["error_rate", "0.25", "0.125", "to", "0.5", "0.001", "-", "fails"]
    assert "Needs about 1,902 more requests" in shown.stdout


def test_no_verdict_yet_is_keep_watching(desk: Desk) -> None:
    desk.produce("verdicts", {"other~else@1": verdict("PROMOTE", "other~else@1")})
    done = desk.call("verdict", "--shadow", "challenger", "--json")
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr == "There is no verdict yet on the shadow challenger: KEEP WATCHING.\n"


@pytest.mark.parametrize(("word", "code"), [("PROMOTE", 0), ("SEND_BACK", 20)])
def test_wait_ends_with_the_final_verdict_and_not_with_an_earlier_or_another_one(
    desk: Desk, word: str, code: int
) -> None:
    desk.produce("verdicts", {TRIAL: verdict("PROMOTE", decided_ms=1)})
    desk.produce("verdicts", {TRIAL: verdict("KEEP_WATCHING", decided_ms=2)})
    with running(desk.command("verdict", "--shadow", "challenger", "--wait", "--json")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "Waiting for records" in process.stderr.readline()
        desk.produce("verdicts", {"other~else@1": verdict("PROMOTE", "other~else@1", 9)})
        desk.produce("verdicts", {TRIAL: verdict(word, decided_ms=3)})
        assert json.loads(process.stdout.readline()) == json.loads(verdict(word, decided_ms=3))
        assert process.wait(30) == code


def test_a_wait_that_runs_out_says_what_is_undecided(desk: Desk) -> None:
    done = desk.call("verdict", "--shadow", "challenger", "--wait", "--timeout", "1")
    assert (done.returncode, done.stdout) == (10, "")
    record = json.loads(verdict("KEEP_WATCHING"))
    record["criteria"][0]["state"] = "open"
    desk.produce("verdicts", {TRIAL: record})
    done = desk.call("verdict", "--shadow", "challenger", "--wait", "--timeout", "1", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (10, record)
    assert done.stderr.endswith("Stopped waiting: no final verdict yet. Still undecided: error_rate.\n")


def test_ctrl_c_ends_a_wait_cleanly_and_is_never_taken_for_promote(desk: Desk) -> None:
    desk.produce("verdicts", {TRIAL: verdict("KEEP_WATCHING")})
    with running(desk.command("verdict", "--shadow", "challenger", "--wait")) as process:
        assert process.stderr is not None
        assert "Waiting for records" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 10
        assert "Traceback" not in process.stderr.read()


def test_the_newest_trial_is_the_one_that_began_last_not_the_one_decided_last(desk: Desk) -> None:
    old, new = "champion@3~challenger@4", "champion@4~challenger@4"
    desk.produce("verdicts", {old: verdict("SEND_BACK", old, 900), new: verdict("PROMOTE", new, 800)})
    for trial, began in ((old, 100), (new, 500)):
        whole = {"trial": trial, "segment": "all", "window": "all", "totals": {"first_ms": began}, "summary": {}}
        desk.produce("aggregates", {f"{trial}|all|all": {**whole, "books": {}, "updated_ms": 1}})
    assert desk.call("verdict", "--shadow", "challenger").returncode == 0
    assert desk.call("verdict", "--shadow", "challenger", "--trial", old).returncode == 20


def test_what_is_no_verdict_stops_its_own_trial_only(desk: Desk) -> None:
    odd = {"a": b"not json", "other~else@1": {"verdict": "\x1b[31mMAYBE"}}
    desk.produce("verdicts", {**odd, TRIAL: verdict("PROMOTE")})
    done = desk.call("verdict", "--shadow", "challenger")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The verdict on other~else@1 cannot be used" in " ".join(desk.call("status").stdout.split())
    desk.produce("verdicts", {TRIAL: {"verdict": "\x1b[31mMAYBE"}})
    done = desk.call("verdict", "--shadow", "challenger")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"The verdict on {TRIAL} cannot be used")
    assert "\x1b" not in done.stderr


def test_missing_topics_are_one_sentence(empty: Desk) -> None:
    for verb in (["verdict", "--shadow", "challenger"], ["tail"]):
        done = empty.call(*verb)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.endswith("is missing: create it with `shadowbus topics --create`.\n")


def test_a_table_is_the_newest_value_of_each_key(desk: Desk) -> None:
    settings = load_settings(desk.config)
    assert read_table(settings, VERDICTS, Deadline.after(20)) == {}
    desk.produce("verdicts", {f"key-{number}": b"old" for number in range(50)})
    desk.produce("verdicts", {"key-7": b"new", "key-8": None})
    wanted = {f"key-{number}".encode(): b"old" for number in range(50) if number not in (7, 8)} | {b"key-7": b"new"}
    assert read_table(settings, VERDICTS, Deadline.after(20)) == wanted


def test_tail_shows_what_is_committed_and_nothing_else(desk: Desk) -> None:
    desk.produce("comparisons", {"one": comparison("one")})
    producer = Producer({"bootstrap.servers": desk.bootstrap, "transactional.id": desk.namespace})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(f"{desk.namespace}.comparisons", json.dumps(comparison("aborted")).encode(), "one")
    producer.flush(20)
    producer.abort_transaction(20)
    desk.produce("comparisons", {"two": comparison("two", agree=False), "three": b"junk"})
    desk.produce("comparisons", {"four": comparison("four", trial="champion@3~other@1")})
    done = desk.call("tail", "--from-beginning", "--json", "--limit", "3")
    assert done.returncode == 0
    assert sorted(json.loads(line)["request_id"] for line in done.stdout.splitlines()) == ["four", "one", "two"]
    only = desk.call("tail", "--from-beginning", "--json", "--limit", "1", "--disagreements", "--shadow", "challenger")
    assert json.loads(only.stdout) == comparison("two", agree=False)


def test_tail_cannot_be_used_to_steer_a_terminal(desk: Desk) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold red]x[/]\r\n\x9b31m\u202e"
    side = {"model": evil, "prediction": evil, "scores": None, "latency_ms": 1.0, "error": None}
    desk.produce("comparisons", {"x": comparison(evil, status=evil, live=side, shadow={**side, "error": evil})})
    shown = desk.call("tail", "--from-beginning", "--limit", "1").stdout
    assert shown.count("[bold red]x[/]") == 4
    assert [character for character in shown if not character.isprintable()] == ["\n"]
    as_json = desk.call("tail", "--from-beginning", "--limit", "1", "--json").stdout
    assert [character for character in as_json if not character.isprintable()] == ["\n"]
    assert json.loads(as_json)["request_id"] == evil


def test_tail_follows_what_comes_until_ctrl_c(desk: Desk) -> None:
    desk.produce("comparisons", {"before": comparison("before")})
    sent, seen = 0, list[str]()
    with running(desk.command("tail", "--json")) as process:
        listening = threading.Thread(target=lambda: seen.extend(process.stdout or ()))
        listening.start()

        def arrived() -> bool:
            nonlocal sent
            sent += 1  # it says when it waits, but to stderr: go on until it hears
            desk.produce("comparisons", {f"after-{sent}": comparison(f"after-{sent}")})
            return len(seen) >= 3

        eventually(arrived)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        listening.join()
        assert waits_without_complaint(process, desk)
    assert {json.loads(line)["request_id"] for line in seen} <= {f"after-{number}" for number in range(1, sent + 1)}


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_tail_ends_quietly_when_nobody_reads_any_more(desk: Desk, flags: list[str]) -> None:
    desk.produce("comparisons", {f"key-{number}": comparison(f"key-{number}") for number in range(3_000)})
    with running(desk.command("tail", "--from-beginning", *flags)) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert waits_without_complaint(process, desk)


def waits_without_complaint(process: "subprocess.Popen[str]", desk: Desk) -> bool:
    assert process.stderr is not None
    return (
        process.stderr.read().partition(" ")[2] == f"INFO tail: Waiting for records in {desk.namespace}.comparisons.\n"
    )


def test_status_says_plainly_what_is_missing(empty: Desk) -> None:
    bare = empty.call("status")
    assert (bare.returncode, bare.stderr) == (0, "")
    assert "topics are missing: create them with `shadowbus topics --create` (" in bare.stdout
    create_topics(load_settings(empty.config))
    shown = json.loads(empty.call("status", "--json").stdout)
    assert shown["missing_topics"] == []
    assert shown["notes"][0].startswith(f"Nothing has arrived in {empty.namespace}.requests yet")
    assert [note for note in shown["notes"] if "`shadowbus replay --shadow challenger`" in note]
    assert [stage["members"] for stage in shown["stages"]] == [0, 0, 0, 0, 0]


def test_status_shows_lag_books_and_verdicts(desk: Desk) -> None:
    desk.produce("requests", {f"key-{number}": {} for number in range(30)})
    books = {"closes": False, "gap": 7, "note": "7 requests of partition 0 are unaccounted for."}
    totals = {"statuses": {"compared": 3, "shadow_error": 1}, "labels": 2}
    whole = {"trial": TRIAL, "segment": "all", "window": "all", "totals": totals, "summary": {}, "books": books}
    desk.produce("aggregates", {f"{TRIAL}|all|all": {**whole, "updated_ms": 1}, "junk": b"junk"})
    desk.produce("aggregates", {f"{TRIAL}|c=DE|all": {**whole, "segment": "c=DE", "updated_ms": 1}})
    desk.produce("verdicts", {TRIAL: verdict("SEND_BACK")})
    shown = json.loads(desk.call("status", "--json").stdout)
    lag = {stage["stage"]: stage["lag"] for stage in shown["stages"]}
    assert lag["replay"] == {f"{desk.namespace}.requests": 30, f"{desk.namespace}.predictions": 0}
    assert [(trial["trial"], trial["books"], trial["labels"]) for trial in shown["trials"]] == [(TRIAL, books, 2)]
    assert [one["verdict"] for one in shown["verdicts"]] == ["SEND_BACK"]
    text = desk.call("status").stdout
    for words in ("requests 30", "compared 3, shadow_error 1", "gap 7", "requests of partition 0", "SEND BACK"):
        assert words in text


def test_status_knows_the_groups_that_workers_join() -> None:
    for stage, shadow in ((REPLAY, "new"), (JUDGE, "")):
        job = Job(stage.name, (), (), lambda _: pytest.fail("never opened"), shadow)
        assert group_name(stage, "churn", shadow) == job.group("churn")


def test_up_runs_every_stage_survives_a_kill_and_ends_them_all(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path, extra="[gate]\nmin_requests = 10\nmax_error_rate = 0.9\n")
    up = stream.start("up")
    try:
        stream.send_pairs([f"first-{number}" for number in range(20)])
        reader = Reader(bootstrap, stream.topic("comparisons"))
        reader.until(20)
        family = psutil.Process(up.pid).children(recursive=True)
        verbs = {verb: [one for one in family if verb in one.cmdline()] for verb in VERBS}
        assert {verb: len(found) for verb, found in verbs.items()} == dict.fromkeys(VERBS, 1)
        verbs["replay"][0].kill()
        stream.send_pairs([f"second-{number}" for number in range(20)])
        assert set(reader.until(40).keys.values()) == {1}
        reader.close()
        verdicts = Reader(bootstrap, stream.topic("verdicts"))
        eventually(lambda: bool(verdicts.read(0.5)) and verdicts.values[-1]["requests"] == 40, 60)
        verdicts.close()
        family = psutil.Process(up.pid).children(recursive=True)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, stream.logs()
    eventually(lambda: not any(alive(one) for one in family))
    assert "replay-challenger-0 was ended by SIGKILL; it starts again in 1 s" in stream.logs()
    assert "Traceback" not in stream.logs()


def test_a_killed_up_leaves_no_worker_behind(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path)
    up = stream.start("up")
    try:
        stream.send_pairs(["one"])
        reader = Reader(bootstrap, stream.topic("comparisons"))
        reader.until(1)
        reader.close()
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) > len(VERBS)
    finally:
        up.kill()
        up.wait()
    eventually(lambda: not any(alive(one) for one in family))


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds."""
    deadline, pause = Deadline.after(seconds), threading.Event()
    while not condition():
        assert not deadline.passed, "it did not come to pass in time"
        pause.wait(0.05)
