"""What `--help` shows: every word that was written, for every verb and every flag of it."""

import os
import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from typer.testing import CliRunner

from shadowbus.cli.options import Options
from shadowbus.cli.program import app

GROUP: Any = typer.main.get_command(app)
VERBS = sorted(GROUP.commands)


def shown(*arguments: str) -> str:
    """What is printed, without frames, as one line."""
    result = CliRunner().invoke(
        app, [*arguments, "--help"], obj=Options(words=arguments), env={"COLUMNS": "200", "TERM": "dumb"}
    )
    assert result.exit_code == 0
    return words(re.sub(r"[│╭╮╰╯─]", " ", result.stdout))


def words(text: str) -> str:
    return " ".join(text.replace("\\[", "[").split())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_every_word_of_its_flags(verb: str) -> None:
    command: click.Command = GROUP.commands[verb]
    page = shown(verb)
    assert words((command.help or "").split("\n\n")[0]) in page
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        if text and not getattr(parameter, "hidden", False):
            assert words(text) in page, (verb, parameter.name)


def test_the_first_page_shows_every_verb_with_its_sentence() -> None:
    page = shown()
    for verb in VERBS:
        assert verb in page
        assert words((GROUP.commands[verb].help or "").split("\n")[0])[:60] in page


SNAPSHOT = Path(__file__).with_name("help.txt")
"""Every help page. Renew it with `RENEW=1 .venv/bin/python -m pytest tests/unit/test_help.py -k snapshot`."""


def page(*arguments: str) -> str:
    result = CliRunner().invoke(
        app, [*arguments, "--help"], obj=Options(words=arguments), env={"COLUMNS": "80", "TERM": "dumb"}
    )
    assert result.exit_code == 0
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


def test_every_help_is_as_in_the_snapshot_and_fits_80_columns() -> None:
    pages = "\n\n".join([page(), *map(page, VERBS)]) + "\n"
    assert max(map(len, pages.splitlines())) <= 80
    if os.environ.get("RENEW"):
        SNAPSHOT.write_text(pages, encoding="utf-8")
    assert pages == SNAPSHOT.read_text(encoding="utf-8"), "if this is meant, renew tests/unit/help.txt with RENEW=1"
