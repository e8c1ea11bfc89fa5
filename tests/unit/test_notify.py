"""Notifications: who has to be told what, in which words, and what a receiver that fails changes."""

import json
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outsiders import outsider, silent
from receiver import Receiver, receiving
from shadowbus.cli.run.up import beside
from shadowbus.clock import Deadline
from shadowbus.errors import SettingsError
from shadowbus.notify import worker
from shadowbus.notify.due import Change, changes, told_key
from shadowbus.notify.messages import chat, plain
from shadowbus.notify.worker import Teller
from shadowbus.processes.supervised import Backoff
from shadowbus.records import Told, Verdict, decode, encode
from shadowbus.settings import Settings, masked, parse_settings
from shadowbus.settings.webhook import NotifySettings
from shadowbus.topology import Topic
from shadowbus.webhook.signature import genuine

TRIAL = "champion@3~challenger@4"
CRITERION = {
    "name": "accuracy",
    "value": 0.0432,
    "low": 0.036,
    "high": 0.0521,
    "limit": -0.02,
    "state": "holds",
    "n": 8000,
}
SIGN = "s"
CHAT = NotifySettings("chat", "https://chat.example/hooks/s3cr3t")


def verdict(word: str = "PROMOTE", trial: str = TRIAL, **changed: object) -> Verdict:
    one = Verdict(trial, word, [CRITERION], requests=9000, labels=8000, needed={}, decided_ms=5)
    return replace(one, **changed)  # type: ignore[arg-type]


def told(word: str, count: int = 1, receiver: str = "chat", trial: str = TRIAL) -> dict[bytes, Told]:
    return {told_key(trial, receiver): Told(trial, receiver, word, count, sent=True, told_ms=1)}


def summary(found: Iterator[Change]) -> list[tuple[str, str, str, int]]:
    return [(one.receiver.name, one.before, one.verdict.verdict, one.count) for one in found]


def test_a_trial_that_nobody_was_told_of_is_at_keep_watching() -> None:
    assert summary(changes([CHAT], [verdict("KEEP_WATCHING")], {})) == []
    assert summary(changes([CHAT], [verdict("PROMOTE")], {})) == [("chat", "KEEP_WATCHING", "PROMOTE", 1)]


def test_only_what_differs_from_what_was_told_is_told() -> None:
    assert summary(changes([CHAT], [verdict("PROMOTE", requests=9001)], told("PROMOTE"))) == []
    back = changes([CHAT], [verdict("KEEP_WATCHING")], told("PROMOTE", 3))
    assert summary(back) == [("chat", "PROMOTE", "KEEP_WATCHING", 4)]


def test_each_receiver_and_each_trial_stands_for_itself() -> None:
    other = NotifySettings("bot", "https://bot.example")
    later = verdict("SEND_BACK", "champion@3~challenger@5", decided_ms=9)
    found = summary(changes([CHAT, other], [later, verdict()], told("PROMOTE")))
    assert found == [
        ("chat", "KEEP_WATCHING", "SEND_BACK", 1),
        ("bot", "KEEP_WATCHING", "PROMOTE", 1),
        ("bot", "KEEP_WATCHING", "SEND_BACK", 1),
    ]


def test_ids_are_the_same_for_one_change_and_differ_between_all() -> None:
    bot = NotifySettings("bot", "https://bot.example")
    some = [*changes([CHAT, bot], [verdict(), verdict("SEND_BACK", "a@1~b@1")], {})]
    some += changes([CHAT], [verdict()], told("SEND_BACK", 2))
    assert len({one.id("churn") for one in some}) == len(some) == 5
    (first,) = changes([CHAT], [verdict(requests=1)], {})
    (again,) = changes([CHAT], [verdict(requests=2, decided_ms=77)], {})
    assert first.id("churn") == again.id("churn") != first.id("fraud")


def message(change: Change) -> str:
    parsed = json.loads(chat(change, "id"))
    assert list(parsed) == ["text"]
    return str(parsed["text"])


def test_a_chat_is_told_in_words_what_changed_and_why() -> None:
    receiver = replace(CHAT, link="https://shadow.example")
    failing = {**CRITERION, "name": "error_rate", "state": "fails", "value": None}
    text = message(Change(receiver, verdict("SEND_BACK", criteria=[CRITERION, failing]), "KEEP_WATCHING", 1))
    assert text.splitlines() == [
        f"*SEND BACK* `{TRIAL}` (it was KEEP WATCHING)",
        "9,000 requests, 8,000 labels",
        "• `error_rate` fails: none yet (from 8,000 requests), has to be at most -2.0 %",
        "• `accuracy` holds: +4.3 points (between +3.6 and +5.2 points; from 8,000 labels), "
        "has to be at least -2.0 points",
        "https://shadow.example",
    ]


def test_foreign_names_can_mention_nobody_and_format_nothing() -> None:
    hostile = "`*x* <!channel> @here\n<https://evil.example|click>\x1b[2J"
    strange = {"name": hostile, "state": "`<!here>`", "value": "x", "low": True, "high": [], "limit": {}}
    text = message(Change(CHAT, verdict(trial=hostile, criteria=[strange, "no criterion"]), "KEEP_WATCHING", 1))
    assert "<" not in text
    assert ">" not in text
    assert "\x1b" not in text
    assert text.count("\n") == 2
    outside = "".join(text.split("`")[::2])
    assert "channel" not in outside
    assert "@" not in outside
    assert "evil" not in outside


def test_a_hundred_segments_do_not_make_a_hundred_lines() -> None:
    many = [{**CRITERION, "name": f"accuracy:country={number}"} for number in range(100)]
    text = message(Change(CHAT, verdict(criteria=many), "KEEP_WATCHING", 1))
    assert text.splitlines()[-1] == "and 88 more criteria"
    assert len(text.splitlines()) == 15


def test_programs_are_told_the_record_itself() -> None:
    parsed = json.loads(plain(Change(CHAT, verdict(), "KEEP_WATCHING", 1), "the-id"))
    assert (parsed["event"], parsed["id"], parsed["before"]) == ("verdict", "the-id", "KEEP_WATCHING")
    assert parsed["verdict"] == json.loads(encode(verdict()))


class Written:
    """Stands where Kafka is: takes what is written, so that it can be given back."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[int, bytes]] = {}

    def write(self, _topic: Topic, key: bytes, value: bytes, _deadline: Deadline, partition: int = -1) -> None:
        self.rows[key] = (partition, value)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def teller(written: Written, *receivers: NotifySettings) -> Teller:
    return Teller(Settings("churn", notify=receivers), written)  # type: ignore[arg-type]


def rows(written: Written, *verdicts: Verdict) -> dict[bytes, tuple[int, bytes]]:
    return {**written.rows, **{one.trial.encode(): (3, encode(one)) for one in verdicts}}


def test_what_was_taken_is_written_down_beside_the_verdict_and_told_no_more(receiver: Receiver) -> None:
    written, stop = Written(), threading.Event()
    chat_here = replace(CHAT, url=receiver.url(), secret=SIGN)
    one = teller(written, chat_here)
    for _ in range(3):
        one.tell(rows(written, verdict()), stop)
    teller(written, chat_here).tell(rows(written, verdict(requests=9999)), stop)  # after a restart
    (got,) = receiver.got
    timestamp, given = got.headers["X-Shadowbus-Timestamp"], got.headers["X-Shadowbus-Signature"]
    assert genuine(SIGN, timestamp, got.body, given, int(timestamp))
    ((key, (partition, value)),) = written.rows.items()
    assert (key, partition) == (f"{TRIAL}|told|chat".encode(), 3)
    assert replace(decode(Told, value), told_ms=0) == Told(TRIAL, "chat", "PROMOTE", 1, sent=True, told_ms=0)


def test_what_is_not_wanted_is_remembered_without_a_post(receiver: Receiver) -> None:
    written, stop = Written(), threading.Event()
    one = teller(written, replace(CHAT, url=receiver.url(), on=("SEND_BACK",)))
    for word in ("SEND_BACK", "KEEP_WATCHING", "PROMOTE", "SEND_BACK"):
        one.tell(rows(written, verdict(word)), stop)
    assert ["SEND BACK" in got.body.decode().splitlines()[0] for got in receiver.got] == [True, True]
    assert len({got.headers["Idempotency-Key"] for got in receiver.got}) == 2
    assert decode(Told, written.rows[told_key(TRIAL, "chat")][1]).count == 4


def test_one_that_fails_is_tried_again_and_holds_up_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BACKOFF", Backoff(first=0.01, most=0.01))
    receiver.statuses = [503, 503, 200]
    written, stop, deadline = Written(), threading.Event(), Deadline.after(20)
    with receiving() as good:
        one = teller(written, replace(CHAT, url=receiver.url()), NotifySettings("good", good.url()))
        while len(written.rows) < 2:
            assert not deadline.passed
            one.tell(rows(written, verdict()), stop)
        assert len(good.got) == 1
    assert len(receiver.got) == 3
    assert len({got.headers["Idempotency-Key"] for got in receiver.got}) == 1


def test_one_that_is_away_costs_a_round_one_post_however_much_it_has_to_be_told() -> None:
    written, stop, trials = Written(), threading.Event(), 40
    verdicts = [verdict(trial=f"champion@3~challenger@{number}") for number in range(trials)]
    with outsider(silent) as away, receiving() as good:
        hanging = replace(CHAT, url=f"http://127.0.0.1:{away}/", timeout_seconds=0.3)
        one = teller(written, hanging, NotifySettings("good", good.url()))
        one.tell(rows(written, *verdicts), stop)
        assert len(good.got) == trials
        assert sum(tries.failures for tries in one.tries.values()) == 1


def test_a_message_that_is_never_taken_keeps_no_other_from_its_receiver(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BACKOFF", Backoff(first=0.01, most=0.01))
    receiver.refuses = b"challenger@0"
    written, stop, deadline = Written(), threading.Event(), Deadline.after(20)
    verdicts = [verdict(trial=f"champion@3~challenger@{number}") for number in range(5)]
    one = teller(written, replace(CHAT, url=receiver.url()))
    while len(written.rows) < 4:
        assert not deadline.passed
        one.tell(rows(written, *verdicts), stop)
    assert told_key("champion@3~challenger@0", "chat") not in written.rows


def test_one_that_refuses_is_asked_once_until_the_verdict_changes(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [404]
    written, stop = Written(), threading.Event()
    one = teller(written, replace(CHAT, url=receiver.url()))
    for word in ("PROMOTE", "PROMOTE", "SEND_BACK", "SEND_BACK"):
        one.tell(rows(written, verdict(word)), stop)
    assert len(receiver.got) == 2
    assert written.rows == {}
    assert "answered 404" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_records_of_other_kinds_and_broken_ones_are_passed_over(receiver: Receiver) -> None:
    written, stop = Written(), threading.Event()
    odd = {b"x@1~y@1": (0, b"no JSON"), b"x@1~y@1|promotion": (0, b"{}"), b"x@1~y@1|told|chat": (0, b"[]")}
    teller(written, replace(CHAT, url=receiver.url())).tell({**odd, **rows(written, verdict())}, stop)
    assert len(receiver.got) == 1


TOML = """
namespace = "churn"
[[notify]]
name = "chat"
url = "${HOOK}"
secret = "${SIGN}"
"""


def parse(text: str) -> Settings:
    environment = {"HOOK": "https://chat.example/hooks/s3cr3t", "SIGN": "s1gn"}
    return parse_settings(tomllib.loads(text), Path("shadow.toml"), environment)


def test_addresses_and_secrets_come_from_the_environment_and_are_masked() -> None:
    settings = parse(TOML)
    assert settings.notify[0].url == "https://chat.example/hooks/s3cr3t"
    shown = json.dumps(masked(settings))
    assert "s3cr3t" not in shown
    assert "s1gn" not in shown
    assert "https://chat.example/********" in shown


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('url = "file:///etc/passwd"', "notify[0].url"),
        ('url = "https://"', "notify[0].url"),
        ('format = "xml"', "notify[0].format"),
        ('on = ["PROMOTED"]', "notify[0].on"),
        ("on = []", "notify[0].on"),
        ("timeout_seconds = 0", "notify[0].timeout_seconds"),
        ("timeout_seconds = nan", "notify[0].timeout_seconds"),
        ('link = "javascript:alert(1)"', "notify[0].link"),
        ('name = "a b"', "notify[0].name"),
    ],
)
def test_a_receiver_that_cannot_be_told_is_named(line: str, key: str) -> None:
    fields = {"name": 'name = "chat"', "url": 'url = "https://chat.example/s3cr3t"', line.partition(" ")[0]: line}
    with pytest.raises(SettingsError) as caught:
        parse('namespace = "churn"\n[[notify]]\n' + "\n".join(fields.values()))
    assert key in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_two_receivers_need_two_names() -> None:
    with pytest.raises(SettingsError, match="used twice"):
        parse(TOML + TOML[TOML.index("[[notify]]") :])


def test_up_runs_it_where_somebody_is_to_be_told() -> None:
    (command,) = beside(parse(TOML))
    assert command.arguments == ("notify", "--worker-id", "notify")
    assert list(beside(Settings("churn"))) == []
