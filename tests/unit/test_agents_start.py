"""The agents while Faust starts: a start that will not end is not waited for."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from shadowbus.aggregate import agents
from shadowbus.errors import BrokerError
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

    monkeypatch.setattr(agents._App, "start", never)
    monkeypatch.setattr(agents._App, "stop", stop)
    return calls


def serve(folder: Path, stop: threading.Event) -> None:
    settings = parse_settings(SETTINGS, folder / "shadow.toml", {})

    async def run() -> None:
        await agents._Agents(settings, "", owns_process=False).serve(stop)

    asyncio.run(run())


def test_a_start_in_which_faust_has_crashed_ends_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: list[str]
) -> None:
    monkeypatch.setattr(agents._App, "crashed", property(lambda _: True))
    with pytest.raises(BrokerError, match=r"could not start .*start them again"):
        serve(tmp_path, threading.Event())
    assert stopped == ["stopped"]


def test_a_start_that_does_not_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: list[str]
) -> None:
    monkeypatch.setattr(agents, "START_SECONDS", 0.3)
    with pytest.raises(BrokerError, match="not within 0 s"):
        serve(tmp_path, threading.Event())
    assert stopped == ["stopped"]


def test_ctrl_c_while_it_starts_ends_it(tmp_path: Path, stopped: list[str]) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    serve(tmp_path, stop)
    assert stopped == ["stopped"]
