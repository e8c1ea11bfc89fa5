"""The supervisor keeps its children alive, ends them in order, and never leaves one behind."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shadowbus.clock import Deadline
from shadowbus.kafka.worker.call_watchdog import EXIT_STATUS
from shadowbus.processes.group import ProcessGroup
from shadowbus.processes.supervised import Backoff, Child
from shadowbus.processes.supervisor import Command, Supervisor

HERE = Path("shadow.toml")
PYTHON = (sys.executable, "-c")
QUICK = Backoff(first=0.1, most=0.2)

WAITS = "import threading; print('here', flush=True); threading.Event().wait()"
STUBBORN = (
    "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True);"
    "threading.Event().wait()"
)
TELLS_ON_TERM = """
import signal, sys, threading
def stop(*_):
    print("stopping", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("here", flush=True)
threading.Event().wait()
"""
HAS_A_CHILD = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {STUBBORN!r}]).pid, flush=True)
{WAITS}
"""
SUPERVISES = f"""
import threading
from pathlib import Path
from shadowbus.processes.supervisor import Command, Supervisor
children = Supervisor(
    Path("shadow.toml"), [Command("one", ({STUBBORN!r},)), Command("two", ({HAS_A_CHILD!r},))],
    program=({sys.executable!r}, "-c"), say=lambda name, line: print(name, line, flush=True),
).start()
threading.Event().wait()
"""


class Heard:
    """Collects what children say."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def count(self, name: str, line: str) -> int:
        return self.lines.count((name, line))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def group() -> Iterator[ProcessGroup]:
    group = ProcessGroup()
    yield group
    group.close()


def supervise(heard: Heard, backoff: Backoff = QUICK, **programs: str) -> Supervisor:
    commands = [Command(name, (text,)) for name, text in programs.items()]
    return Supervisor(HERE, commands, say=heard, backoff=backoff, program=PYTHON)


def test_every_child_runs_and_is_heard_under_its_name(heard: Heard) -> None:
    with supervise(heard, one=WAITS, two=WAITS) as supervisor:
        eventually(lambda: heard.count("one", "here") == heard.count("two", "here") == 1)
        states = supervisor.states()
        assert [(state.name, state.restarts, state.alive) for state in states] == [("one", 0, True), ("two", 0, True)]
        assert all(state.pid is not None and psutil.pid_exists(state.pid) for state in states)
    assert not any(state.alive for state in supervisor.states())


def test_a_killed_child_is_started_again_and_the_others_go_on(heard: Heard) -> None:
    with supervise(heard, one=WAITS, two=WAITS) as supervisor:
        eventually(lambda: heard.count("one", "here") == heard.count("two", "here") == 1)
        before, other = (state.pid for state in supervisor.states())
        assert before is not None
        os.kill(before, signal.SIGKILL)
        eventually(lambda: heard.count("one", "here") == 2)
        one, two = supervisor.states()
        assert (one.restarts, one.alive, two.restarts, two.pid) == (1, True, 0, other)
        assert one.pid != before


def test_a_child_that_ends_well_is_started_again_too(heard: Heard) -> None:
    with supervise(heard, one="print('done')"):
        eventually(lambda: heard.count("one", "done") >= 2)


def test_the_pause_doubles_while_a_child_keeps_failing_and_is_forgotten_when_it_lives(group: ProcessGroup) -> None:
    child = Child("one", (*PYTHON, "raise SystemExit(1)"), group, lambda *_: None, Backoff(1, 4, 60))
    now = 0.0
    child.tend(now)
    for number, pause in enumerate((1, 2, 4, 4), 1):
        eventually(lambda: not child.alive)
        child.tend(now := now + 5)
        child.tend(now + pause - 0.01)
        assert child.restarts == number - 1
        child.tend(now := now + pause)
        assert child.restarts == number
    eventually(lambda: not child.alive)
    child.tend(now := now + 60)
    child.tend(now + 1)
    assert child.restarts == 5
    eventually(lambda: not child.alive)
    child.reap()


def test_a_child_that_fails_again_and_again_is_told_with_its_last_words(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "shadowbus.processes.supervisor"),
        supervise(heard, one="raise SystemExit('no model')"),
    ):
        eventually(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    assert "one ended with exit code 1; it starts again in 0.1 s" in caplog.messages
    assert "one has failed 3 times in a row: no model" in caplog.messages


def test_one_that_asks_to_be_started_again_does_not_wait_longer_each_time(group: ProcessGroup) -> None:
    """After an outage everybody is back soon, however often they have asked for it meanwhile."""
    child = Child("one", (*PYTHON, f"raise SystemExit({EXIT_STATUS})"), group, lambda *_: None, Backoff(1, 30, 60))
    now = 0.0
    child.tend(now)
    for number in range(1, 5):
        eventually(lambda: not child.alive)
        child.tend(now)
        child.tend(now := now + 1)
        assert child.restarts == number
    eventually(lambda: not child.alive)
    child.reap()


def test_a_child_that_floods_is_cut_short_and_its_last_words_are_kept(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    floods = "for n in range(20_000): print('again')\nraise SystemExit('the reason')"
    with caplog.at_level(logging.ERROR, "shadowbus.processes.supervisor"), supervise(heard, one=floods):
        eventually(lambda: any("the reason" in message for message in caplog.messages))
    assert heard.count("one", "again") < 1_000
    assert any("lines left out" in line for _, line in heard.lines)


def test_a_group_is_killed_by_an_id_that_nobody_else_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of what was reaped may be anybody's: one signal, before that, even if the leader is long dead."""
    group = ProcessGroup()
    child = group.launch((*PYTHON, STUBBORN))
    signalled: list[tuple[int, bool]] = []
    kill = os.killpg

    def watched(number: int, with_signal: int) -> None:
        signalled.append((number, psutil.pid_exists(number)))
        kill(number, with_signal)

    monkeypatch.setattr(os, "killpg", watched)
    leader = os.getpgid(child.pid)
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: not running(leader))
    group.close()
    group.close()
    assert signalled == [(leader, True)]
    assert child.wait(20) == -signal.SIGKILL
    assert child.stdout is not None
    child.stdout.close()


def test_children_are_asked_to_end_first(heard: Heard) -> None:
    with supervise(heard, one=TELLS_ON_TERM, two=TELLS_ON_TERM):
        eventually(lambda: heard.count("one", "here") == heard.count("two", "here") == 1)
    assert heard.count("one", "stopping") == heard.count("two", "stopping") == 1


def test_a_child_that_does_not_end_is_killed_and_its_children_with_it(heard: Heard) -> None:
    supervisor = supervise(heard, one=STUBBORN, two=HAS_A_CHILD).start()
    try:
        eventually(lambda: heard.count("one", "here") == 1 and len(heard.lines) == 4)
        pids = [state.pid for state in supervisor.states()]
        grandchild = next(int(line) for name, line in heard.lines if name == "two" and line.isdigit())
    finally:
        supervisor.stop(0.3)
    assert not any(running(pid) for pid in pids if pid is not None)
    eventually(lambda: not running(grandchild))


def test_a_killed_supervisor_leaves_nothing_behind() -> None:
    with subprocess.Popen([*PYTHON, SUPERVISES], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            said = {parent.stdout.readline().strip() for _ in range(4)}
            family = psutil.Process(parent.pid).children(recursive=True)
            assert {"one here", "two here"} < said
            assert len(family) >= 4  # two children, one of a child, the watchdog
        finally:
            parent.kill()
        eventually(lambda: not any(running(process.pid) for process in family))


def test_it_can_be_stopped_twice_and_started_again(heard: Heard) -> None:
    supervisor = supervise(heard, one=WAITS)
    for time in (1, 2):
        supervisor.start()
        with pytest.raises(RuntimeError, match="runs already"):
            supervisor.start()
        eventually(lambda: heard.count("one", "here") == time)  # noqa: B023 - called before the next round
        supervisor.stop()
        supervisor.stop()
    assert not [thread for thread in threading.enumerate() if thread.name in ("supervisor", "one says")]


def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor(HERE, [Command("one", ()), Command("one", ())])


def test_a_program_that_is_not_there_leaves_nothing_behind(heard: Heard) -> None:
    before = psutil.Process().children()  # of other tests: a broker, and its watchdog
    supervisor = Supervisor(HERE, [Command("one", ())], say=heard, program=("/nowhere/at/all",))
    with pytest.raises(FileNotFoundError):
        supervisor.start()
    assert [child for child in psutil.Process().children() if child not in before] == []


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a condition holds."""
    deadline, pause = Deadline.after(seconds), threading.Event()
    while not condition():
        assert not deadline.passed, "it did not come to pass in time"
        pause.wait(0.02)
