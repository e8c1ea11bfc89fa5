"""The demo as a newcomer runs it: half a minute of traffic, four verdicts, books that close, no trace left."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from shadowbus.clock import Deadline

pytestmark = [pytest.mark.demo, pytest.mark.kafka]

WHOLE_S = 200
START_S = 120
GONE_S = 20


@pytest.mark.timeout(WHOLE_S + 60)
def test_the_demo_ends_with_four_verdicts_and_closed_books(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "30") as process:
        said, _ = process.communicate(timeout=WHOLE_S)
    assert process.returncode == 0, said
    assert verdict_of("worse", said) == "SEND BACK", said
    assert verdict_of("better", said) in ("PROMOTE", "KEEP WATCHING"), said
    assert verdict_of("crasher", said) in ("SEND BACK", "KEEP WATCHING"), said
    assert verdict_of("control", said) == "KEEP WATCHING", said
    assert re.search(r"^ ?control .* 100 % ", said, re.MULTILINE), said
    assert len(set(captured(said))) == 1, said
    assert all(total == sum(parts) for total, parts in equations(said)), said
    assert len(equations(said)) == 4, said
    assert "with 0 errors" in said
    assert "dropped 0" in said
    assert no_trace_of(tmp_path)


@pytest.mark.timeout(WHOLE_S)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_or_killed_demo_leaves_nothing_behind(number: int, code: int, tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "60") as process:
        said = read_until(process, "customers")
        page = re.search(r"The live page: (\S+)", said)
        assert page is not None, said
        assert "shadowbus: digits" in httpx.get(page[1]).text
        process.send_signal(number)
        rest, _ = process.communicate(timeout=GONE_S + 20)
        assert process.returncode == code, said + rest
        assert "Traceback" not in said + rest
        deadline = Deadline.after(GONE_S)
        while not no_trace_of(tmp_path):
            assert not deadline.passed, [path.name for path in tmp_path.iterdir()]


@contextmanager
def demo(folder: Path, *flags: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo as a process that keeps its temporary files in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shadowbus", "demo", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """What it says up to these words."""
    assert process.stdout is not None
    deadline = Deadline.after(START_S)
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said
        assert not deadline.passed, said
        said += line
    return said


def no_trace_of(folder: Path) -> bool:
    """Whether neither a file nor a process of the demo is left."""
    return not any(folder.glob("shadowbus-*")) and not any(
        str(folder) in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )


def verdict_of(shadow: str, said: str) -> str:
    """The verdict in the first of the end's tables."""
    table = said.partition("The verdicts")[2].partition("The books")[0]
    found = re.search(rf"^ ?{shadow} .*(PROMOTE|SEND BACK|KEEP WATCHING)", table, re.MULTILINE)
    assert found is not None, said
    return found[1]


def equations(said: str) -> list[tuple[int, list[int]]]:
    """Both sides of each line of the books, worked out anew."""
    table = said.partition("The books")[2].partition("What the tap costs")[0].replace(",", "")
    lines = [line for line in table.splitlines() if " = " in line and "captured" not in line]
    sides = [line.split(" = ") for line in lines]
    return [(int(left.split()[-1]), [int(n) for n in re.findall(r"(\d+) [a-z]", right)]) for left, right in sides]


def captured(said: str) -> list[int]:
    """How many requests each shadow's books begin with."""
    return [total for total, _ in equations(said)]
