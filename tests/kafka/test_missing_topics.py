"""A topic that is missing, or goes missing, is named at once, and ends who needs it with what to do."""

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from patiently import members, until
from shadowbus.agents.agents import run_agents
from shadowbus.aggregate.worker import run_aggregate
from shadowbus.decide.worker import run_decide
from shadowbus.errors import BrokerError
from shadowbus.judge.worker import run_judge
from shadowbus.kafka.clients import make_admin
from shadowbus.replay.worker import run_replay
from shadowbus.settings import Settings
from shadowbus.topology import TOPICS
from traffic import Reader, Stream

pytestmark = pytest.mark.kafka

NAMED_S = 3.0

WORKERS: dict[str, Callable[[Settings, threading.Event], None]] = {
    "replay": lambda settings, stop: run_replay(settings, "challenger", stop),
    "judge": run_judge,
    "aggregate": run_aggregate,
    "decide": run_decide,
    "agents": run_agents,
}
NEEDS = {"replay": "predictions", "judge": "labels", "aggregate": "vitals", "decide": "verdicts"}
NEEDS["agents"] = "partials"
ARGUMENTS = {"replay": ("replay", "--shadow", "challenger"), "judge": ("judge",), "aggregate": ("aggregate",)}
ARGUMENTS |= {"decide": ("decide",), "agents": ("agents",)}


def delete_at_once(stream: Stream, topics: Iterable[str]) -> None:
    admin = make_admin(stream.settings)
    for future in admin.delete_topics([stream.topic(name) for name in topics]).values():
        future.result(10)


def delete(stream: Stream, *topics: str) -> None:
    delete_at_once(stream, topics)
    admin = make_admin(stream.settings)
    until(lambda: not {stream.topic(name) for name in topics} & admin.list_topics(timeout=5).topics.keys(), stream)


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path) -> Stream:
    return Stream(bootstrap, namespace, tmp_path)


@pytest.mark.alone
@pytest.mark.parametrize("stage", WORKERS)
def test_a_worker_that_starts_without_its_topic_names_it_within_three_seconds(stream: Stream, stage: str) -> None:
    delete(stream, NEEDS[stage])
    started = time.monotonic()
    with pytest.raises(BrokerError) as raised:
        WORKERS[stage](stream.settings, threading.Event())
    assert time.monotonic() - started < NAMED_S
    assert str(raised.value) == (
        f"The topic {stream.topic(NEEDS[stage])} is missing: create it with `shadowbus topics --create`."
    )


def test_topics_that_go_missing_end_every_worker_with_their_names(stream: Stream) -> None:
    groups = {"replay": "challenger.replay", "judge": "judge", "aggregate": "aggregate"}
    groups |= {"decide": "decide", "agents": "agents"}
    workers = {stage: stream.start(*arguments) for stage, arguments in ARGUMENTS.items()}
    try:
        stream.send_pairs([f"request-{number}" for number in range(200)])
        for group in groups.values():
            until(partial(_joined, stream, group), stream)
        delete(stream, *NEEDS.values())
        codes = {stage: process.wait(90) for stage, process in workers.items()}
    finally:
        for process in workers.values():
            process.kill()
            process.wait()
    assert codes == dict.fromkeys(ARGUMENTS, 1), stream.logs()
    said = stream.logs().splitlines()
    assert len(said) < 100, f"{len(said)} lines"
    for topic in NEEDS.values():
        assert any(
            "missing: create" in line and stream.topic(topic) in line and "`shadowbus topics --create`" in line
            for line in said
        ), f"{topic}\n{stream.logs()}"


def _joined(stream: Stream, group: str) -> bool:
    return members(stream, group) == ("STABLE", 1)


def test_up_creates_topics_again_when_told_to_and_goes_on(stream: Stream) -> None:
    names = (*{topic.name for topic in TOPICS if not topic.per_shadow}, "challenger.replay-changelog")
    with stream.worker("up", "--create-topics"):
        stream.send_pairs([f"request-{number}" for number in range(100)])
        Reader(stream.bootstrap, stream.topic("verdicts")).until(1).close()
        delete_at_once(stream, names)  # while workers commit
        until(lambda: stream.logs().count("created ") >= len(names), stream)
        stream.send_pairs([f"later-{number}" for number in range(100)])
        comparisons = Reader(stream.bootstrap, stream.topic("comparisons"))
        until(lambda: comparisons.read() >= 0 and len(comparisons.keys) == 100, stream)
        comparisons.close()
