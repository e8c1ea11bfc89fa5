"""The workflow in `examples/ci/`: its commands are the command line's own, and its gate tells the exit codes apart."""

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shadowbus.cli.program import app

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "examples" / "ci" / "shadow-gate.yml").read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
SCRIPTS = [step["run"] for step in STEPS if "run" in step]
GROUP: Any = typer.main.get_command(app)


def commands() -> list[list[str]]:
    found = []
    for script in SCRIPTS:
        for line in script.splitlines():
            words = shlex.split(re.split(r" \|\| | > | >> ", line)[0])
            if words and words[0] == "shadowbus":
                found.append(words[1:])
    return found


def test_its_commands_are_accepted_by_the_real_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").touch()  # which the job before has written
    assert [words[0] for words in commands()] == ["verdict", "report", "report", "promote"]
    for verb, *flags in commands():
        asked = GROUP.commands[verb].make_context(verb, flags, parent=None).params
        assert asked["shadow"] == "$SHADOW"
        assert verb != "verdict" or asked["again"]  # what stands in a topic may have been written by anybody


def test_its_extras_exist() -> None:
    named = {
        extra
        for script in SCRIPTS
        for extras in re.findall(r"shadowbus\[([a-z,]+)\]", script)
        for extra in extras.split(",")
    }
    text = (ROOT / "pyproject.toml").read_text()
    assert named
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in named)


def test_nothing_from_outside_becomes_part_of_a_script() -> None:
    assert not [script for script in SCRIPTS if "${{" in script]


def test_what_one_job_hands_to_the_next_is_what_it_writes() -> None:
    jobs = WORKFLOW["jobs"]
    assert jobs["promote"]["needs"] == "ask"
    assert jobs["promote"]["if"] == "needs.ask.outputs.verdict == 'PROMOTE'"
    assert jobs["ask"]["outputs"]["verdict"] == "${{ steps.gate.outputs.verdict }}"


@pytest.mark.parametrize(
    ("exit_code", "ends", "word"),
    [(0, 0, "PROMOTE"), (10, 0, "KEEP_WATCHING"), (20, 0, "SEND_BACK"), (1, 1, ""), (2, 2, "")],
)
def test_the_gate_tells_the_exit_codes_apart(tmp_path: Path, exit_code: int, ends: int, word: str) -> None:
    (gate,) = [step for step in STEPS if step.get("id") == "gate"]
    program, output = tmp_path / "shadowbus", tmp_path / "output"
    program.write_text(f"#!/bin/sh\necho '{{}}'\nexit {exit_code}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SHADOW": "x; exit 7",
        "GITHUB_OUTPUT": str(output),
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", gate["run"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == ends
    assert (output.read_text() if output.exists() else "") == (f"verdict={word}\n" if word else "")
