"""One way to stop on signals, for every process."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "pipeline" / "shadowbus"

ELSEWHERE = {
    "processes/signals.py",
    "backtest/judging.py",  # ignores Ctrl-C, which is for its parent
    "replay/model/child/limits.py",  # ignores what is for its worker
    "demo/service.py",  # a service like a user's own, under uvicorn
}
"""Who sets handlers, and why no other place may."""

STOPS_WHILE_THE_LOCK_IS_HELD = """
import os, signal
from shadowbus.processes.signals import stop_on_signals
with stop_on_signals() as stop:
    with stop._cond:  # as the very thread that the signal interrupts may, in wait() or is_set()
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(10)
print("ended")
"""


def test_handlers_are_set_in_one_place() -> None:
    setting = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in {"add_signal_handler", "set_wakeup_fd"})
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "signal.signal")
    }
    assert setting == ELSEWHERE


@pytest.mark.timeout(60)
def test_a_signal_in_the_middle_of_the_event_itself_does_not_hang_the_process() -> None:
    said = subprocess.run(
        [sys.executable, "-c", STOPS_WHILE_THE_LOCK_IS_HELD], capture_output=True, text=True, timeout=30, check=False
    )
    assert (said.returncode, said.stdout) == (0, "ended\n"), said.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_handlers_are_given_back(number: signal.Signals) -> None:
    from shadowbus.processes.signals import stop_on_signals

    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    assert signal.getsignal(number) is before
