"""A second `up` of one namespace on a machine is refused; one that died, however, leaves nothing in the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shadowbus.cli.run.alone import alone
from shadowbus.errors import ShadowbusError
from shadowbus.settings import Settings

HOLDS = """
import subprocess, sys, threading
from shadowbus.cli.run.alone import alone
from shadowbus.settings import Settings
with alone(Settings("churn", kafka={"bootstrap.servers": sys.argv[1]})):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    print(child.pid, flush=True)
    threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def at(servers: str, namespace: str = "churn") -> Settings:
    return Settings(namespace, kafka={"bootstrap.servers": servers})


@contextmanager
def held(servers: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, "-c", HOLDS, servers], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_second_one_is_refused_with_who_is_there() -> None:
    with held("b:9092, a:9092") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(ShadowbusError, match=rf"runs churn on this machine already \(process {process.pid}\)"):
            alone(at("a:9092,b:9092")).__enter__()
        with alone(at("a:9092", "other")), alone(at("c:9092")):
            pass


def test_one_that_was_killed_is_not_in_the_way_even_while_its_child_lives() -> None:
    with held("a:9092") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        try:
            with alone(at("a:9092")):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_it_can_be_held_again_and_again(folder: Path) -> None:
    for _ in range(2):
        with alone(at("localhost:9092")), pytest.raises(ShadowbusError, match="already"):
            alone(at("127.0.0.1:9092")).__enter__()
    assert len(list(folder.glob("shadowbus-*/up-*.lock"))) == 1


def test_a_folder_of_somebody_elses_is_not_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / f"shadowbus-{os.getuid()}").symlink_to(folder)
    with alone(at("a:9092")):
        assert "not a folder of this user's" in capsys.readouterr().err
    assert not list(folder.glob("*.lock"))
