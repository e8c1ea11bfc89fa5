"""The agents while Faust starts: a start that will not end is not waited for."""

import asyncio
import importlib
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from shadowbus.agents import agents, faust_app
from shadowbus.errors import BrokerError, Retry
from shadowbus.settings import parse_settings

SETTINGS = {"namespace": "churn", "kafka": {"bootstrap.servers": "127.0.0.1:1"}}


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Faust whose start never ends; says when it was stopped."""
    calls: list[str] = []

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    async def stop(_: Any) -> None:
        calls.append("stopped")

    monkeypatch.setattr(agents._Agents, "_check", lambda _: None)  # of rights: it would wait for Kafka
    monkeypatch.setattr(faust_app.App, "start", never)
    monkeypatch.setattr(faust_app.App, "stop", stop)
    return calls


def serve(folder: Path, stop: threading.Event) -> None:
    settings = parse_settings(SETTINGS, folder / "shadow.toml", {})

    async def run() -> None:
        await agents._Agents(settings, "", owns_process=False).serve(stop)

    asyncio.run(run())


def test_a_start_that_does_not_end_is_given_up_when_kafka_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: list[str]
) -> None:
    monkeypatch.setattr(agents, "STUCK_SECONDS", 0.3)
    monkeypatch.setattr(agents, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(agents, "require_topics", lambda *_: None)
    monkeypatch.setattr(agents._Agents, "_limits", lambda _: {})
    with pytest.raises(BrokerError, match=r"Faust has waited .*start them again"):
        serve(tmp_path, threading.Event())
    assert stopped == ["stopped"]


def test_a_start_is_waited_for_while_kafka_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: list[str]
) -> None:
    asked = 0
    stop = threading.Event()

    def away(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 10:
            stop.set()
        raise Retry("Kafka is away")

    monkeypatch.setattr(agents, "STUCK_SECONDS", 0.1)
    monkeypatch.setattr(agents, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(agents, "require_topics", lambda *_: None)
    monkeypatch.setattr(agents._Agents, "_limits", away)
    serve(tmp_path, stop)
    assert asked >= 10
    assert stopped == ["stopped"]


def test_ctrl_c_while_it_starts_ends_it(tmp_path: Path, stopped: list[str]) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    serve(tmp_path, stop)
    assert stopped == ["stopped"]


@pytest.mark.parametrize(("asked", "copies"), [(-1, 1), (1, 1), (3, 3)])
def test_faust_takes_every_replication_that_the_settings_take(asked: int, copies: int, tmp_path: Path) -> None:
    settings = parse_settings({**SETTINGS, "replication": asked}, tmp_path / "shadow.toml", {})
    assert faust_app.make_app(settings, "agents", declare=False).conf.topic_replication_factor == copies


@pytest.mark.parametrize("name", faust_app.PRIVATE_NAMES)
def test_the_private_names_of_faust_that_are_used_are_still_there(name: str) -> None:
    module, _, path = name.partition(":")
    owner, _, attribute = path.partition(".")
    kind = getattr(importlib.import_module(module), owner)
    assert hasattr(kind, attribute) or f"self.{attribute} = " in inspect.getsource(kind)


def test_what_faust_does_not_bring_is_read_again_and_in_the_end_the_agents_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(agents, "monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        one = agents._Agents(parse_settings(SETTINGS, tmp_path / "shadow.toml", {}), "", owns_process=False)
        one.owned, one.assigned, one.whole, one.read_to = frozenset({0}), True, True, {0: 7}
        now += agents.LATE_SECONDS
        assert (one._late({0: range(8)}), one.whole) == ("", True)  # behind the last record is a marker
        now += agents.LATE_SECONDS + 1
        assert (one._late({0: range(20)}), one.whole) == ("", False)
        assert one.meter.lags == {("partials", 0): 12}
        now += agents.STUCK_SECONDS
        assert "has brought no partial" in one._late({0: range(20)})
        one.assigned = False
        assert "has waited for its group" in one._late({0: range(20)})

    asyncio.run(run())
