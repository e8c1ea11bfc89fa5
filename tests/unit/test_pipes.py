"""Whoever reads the output may leave at any time, and whoever waits may press Ctrl-C: neither ends in a traceback."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadowbus.cli import logs
from shadowbus.cli.program import run
from shadowbus.kafka.reaching import ANSWER_S, PATIENCE

SETTINGS = 'namespace = "churn"\n[kafka]\n"bootstrap.servers" = "{address}"\n[[shadow]]\nname = "new"\nmodel = "m"\n'
ASKS_KAFKA = (
    "status", "status --json", "verdict --shadow new", "topics --check", "topics --create", "doctor", "tail",
    "report --out report.html", "slices --shadow new", "label-queue --shadow new --count 5",
    "export --topic verdicts --out v.jsonl", "promote --shadow new", "send-back --shadow new",
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    quick = f'127.0.0.1:1"\n"{PATIENCE}" = "1000'
    promotion = '[promotion]\ncommand = ["true"]\n'
    (tmp_path / "shadow.toml").write_text(SETTINGS.format(address=quick) + promotion)
    return tmp_path / "shadow.toml"


def unread(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb whose reader has left before the first word."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "shadowbus", "--config", str(config), *arguments]
    try:
        return subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False, cwd=config.parent
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("arguments", ["settings", "topology", "--help", "--version", "backtest --help"])
def test_a_reader_that_has_left_is_no_error(config: Path, arguments: str) -> None:
    done = unread(config, *arguments.split())
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_reads_the_errors_either(config: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "shadowbus", "--config", str(config.parent / "absent.toml"), "settings"]
    assert subprocess.run(command, stdout=writing, stderr=writing, timeout=60, check=False).returncode == 1
    os.close(writing)


@pytest.mark.parametrize("arguments", ASKS_KAFKA)
def test_every_verb_says_what_is_wrong_with_kafka(
    config: Path, arguments: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    try:
        code: object = run(["--config", str(config), *arguments.split()])
    except SystemExit as leaving:
        code = leaving.code
    said = capfd.readouterr()
    assert code == 1, said
    words = " ".join((said.out + said.err).split())
    assert "Nothing listens at 127.0.0.1:1: start Kafka, or correct bootstrap.servers" in words
    assert "Traceback" not in words


def test_it_takes_three_seconds_and_two_lines_to_say_so(config: Path) -> None:
    config.write_text(SETTINGS.format(address="127.0.0.1:1"))
    command = [sys.executable, "-m", "shadowbus", "--config", str(config)]
    started = time.monotonic()
    subprocess.run([*command, "topology"], capture_output=True, timeout=60, check=True)
    start = time.monotonic() - started
    done = subprocess.run([*command, "status"], capture_output=True, text=True, timeout=60, check=False)
    assert time.monotonic() - started - start < ANSWER_S + 3 * start + 2
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Nothing listens at 127.0.0.1:1")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", ["status"])
def test_ctrl_c_while_kafka_does_not_answer_is_no_traceback(config: Path, arguments: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config.write_text(SETTINGS.format(address=f"127.0.0.1:{silent.getsockname()[1]}"))
        command = [sys.executable, "-m", "shadowbus", "--config", str(config), *arguments.split()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            silent.accept()[0].close()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert process.returncode in (1, 130)
    assert "Traceback" not in said
