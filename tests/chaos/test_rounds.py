"""Rounds of chaos: steady traffic, and workers, models and brokers that die on a schedule that follows from the seed.

`make chaos SEED=n` runs the full rounds and shows what was done to whom; `make test` runs the short one.
"""

import doctest
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos import schedule as schedule_module
from chaos.brokers import Brokers
from chaos.crew import Crew
from chaos.evidence import Evidence, wait_until_complete
from chaos.forgery import Forgery
from chaos.offered import LARGE, Offered
from chaos.schedule import FEWEST, SLOTS, Event, Plan, schedule
from fakes.large import Large
from fakes.misbehaving import bundle_of
from shadowbus.broker.cluster import EmbeddedKafka
from traffic import Stream

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

SEED = int(os.environ.get("SHADOWBUS_CHAOS_SEED", "1"))
FULL = "SHADOWBUS_CHAOS_SEED" in os.environ

SETTINGS = """timeout_ms = 2000.0
[replay]
join_window_ms = 3600000
[worker]
session_timeout_ms = {session_ms}
"""
OTHERS = ("judge-0", "judge-1", "aggregate-0", "decide-0", "decide-1", "agents-0")
WAIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the cluster, the shadows, the traffic, and what is done."""

    name: str
    nodes: int
    shadows: tuple[str, ...]
    requests: int
    session_ms: int
    huge: int
    plan: Plan


SHORT = Round(
    "short", 1, ("challenger",), 15_000, 2_000, 1, Plan(25.0, (2.0, 4.0), (4.0, 6.0), OTHERS, 1, 1, (1.0, 3.0))
)
ROUNDS = [
    Round(
        "one broker",
        nodes=1,
        shadows=("challenger", LARGE),
        requests=150_000,
        session_ms=6_000,
        huge=3,
        plan=Plan(100.0, (1.5, 4.5), (22.0, 26.0), (*OTHERS, f"replay-{LARGE}"), 1, 2, (1.0, 8.0)),
    ),
    Round(
        "three brokers",
        nodes=3,
        shadows=("challenger",),
        requests=75_000,
        session_ms=3_000,
        huge=1,
        plan=Plan(75.0, (1.5, 4.5), (5.0, 9.0), OTHERS, 3, 3, (3.0, 10.0)),
    ),
]


@pytest.mark.skipif(FULL, reason="the full rounds run")
@pytest.mark.timeout(400)
def test_a_short_round_costs_and_doubles_nothing(tmp_path: Path) -> None:
    play(SHORT, tmp_path)


@pytest.mark.skipif(not FULL, reason="make chaos SEED=n runs the full rounds")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("one", ROUNDS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_full_round_costs_and_doubles_nothing(one: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the model process finds the estimator
    play(one, tmp_path)


def test_the_schedule_follows_from_the_seed_alone() -> None:
    result = doctest.testmod(schedule_module)
    assert result.attempted
    assert not result.failed


def large(folder: Path) -> str:
    """The settings of the shadow with answers that nobody can keep."""
    bundle = bundle_of(Large(True), folder, "2")
    return f'[[shadow]]\nname = "{LARGE}"\nmodel = "{bundle}"\nallow_pickle = true\n'


def play(one: Round, folder: Path) -> None:
    """One round, from an empty cluster to the last assertion."""
    events = schedule(SEED, one.plan)
    sys.stdout.write(f"\nround '{one.name}', seed {SEED}: {one.requests} requests in {one.plan.seconds:.0f} s, and\n")
    sys.stdout.writelines(f"  {event}\n" for event in events)
    (folder / "stream").mkdir()
    with EmbeddedKafka(nodes=one.nodes, data_dir=folder / "kafka") as kafka:
        head = f"replication = {one.nodes}\n"
        extra = SETTINGS.format(session_ms=one.session_ms)
        linear = [shadow for shadow in one.shadows if shadow != LARGE]
        extra += large(folder / "large") if LARGE in one.shadows else ""
        stream = Stream(kafka.bootstrap, "chaos", folder / "stream", linear, extra, head)
        offered = Offered(stream, SEED, one.requests, one.plan.seconds, one.huge)
        crew = Crew(stream, arguments(one))
        try:
            evidence = perform(one, kafka, crew, offered, events)
            codes = crew.end()
        finally:
            crew.abandon()
        assert set(codes.values()) == {0}, (codes, stream.logs()[-5000:])
        assert not crew.left_behind()
        figures = evidence.check()
        crew.say(f"all is there, once: {offered.kinds}, {figures}; {crew.gave_up} workers asked to be started again")


def arguments(one: Round) -> dict[str, tuple[str, ...]]:
    """The commands by name: every other replay worker of the first shadow has a name in Kafka, the others have none."""
    first, *more = one.shadows
    replay = ("replay", "--shadow", first)
    found: dict[str, tuple[str, ...]] = {
        f"replay-{slot}": (*replay, "--worker-id", f"slot-{slot}") if slot % 2 else replay for slot in range(SLOTS)
    }
    found |= {f"replay-{shadow}": ("replay", "--shadow", shadow) for shadow in more}
    return found | {name: (name.partition("-")[0], "--worker-id", name) for name in OTHERS}


def perform(one: Round, kafka: EmbeddedKafka, crew: Crew, offered: Offered, events: list[Event]) -> Evidence:
    """Traffic and events, until everything is counted."""
    forgery = Forgery(crew.stream, f"champion@1~{one.shadows[0]}@2", one.plan.seconds)
    evidence = Evidence(crew.stream, offered, forgery)
    for name in [f"replay-{slot}" for slot in range(FEWEST + 1)] + list(arguments(one))[SLOTS:]:
        crew.start(name)
    crew.wait_until_joined(120)
    crew.began = time.monotonic()
    brokers = Brokers(kafka, [event for event in events if event.whom.startswith("broker")], crew.say)
    left = [event for event in events if not event.whom.startswith("broker")]
    try:
        while left or not offered.over:
            now = time.monotonic() - crew.began
            offered.keep_pace(now)
            forgery.keep_pace(now)
            crew.watch()
            if left and left[0].at <= now:
                do(left.pop(0), crew)
            time.sleep(0.005)
        brokers.settle(180)
    finally:
        brokers.end()
    assert crew.stream.producer.flush(60) == 0
    crew.say("all is sent, and every broker is up")
    crew.wait_until_joined(120)
    wait_until_complete(evidence, WAIT_S, crew.watch)
    crew.say("all is counted")
    return evidence


def do(event: Event, crew: Crew) -> None:
    """One event that concerns a worker."""
    deeds: dict[str, Callable[[str], None]] = {
        "kill": crew.kill,
        "start": crew.start,
        "add": crew.add,
        "remove": crew.remove,
        "put to sleep": crew.sleep,
        "wake": crew.wake,
        "kill the model of": crew.kill_model,
        "kill the fork server of": crew.kill_fork_server,
    }
    deeds[event.deed](event.whom)
