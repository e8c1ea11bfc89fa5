"""`shadowbus status`: what runs, how far it is behind, whether the books close, and every verdict."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from shadowbus.cli.console import cell, emit_json, output, table
from shadowbus.cli.options import settings_of
from shadowbus.cli.verdict import STYLES, needed_sentence
from shadowbus.clock import Deadline

if TYPE_CHECKING:
    from shadowbus.cli.overview import Overview

READ_SECONDS = 60.0


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As one line of JSON.")] = False,
) -> None:
    """Show stages with members and lag, the books of each trial, and the verdicts."""
    settings = settings_of(context)
    from shadowbus.cli.overview import look

    overview = look(settings, Deadline.after(READ_SECONDS))
    emit_json(overview) if as_json else _show(overview, output())


def _show(overview: "Overview", console: Console) -> None:
    _show_stages(overview, console)
    if overview.trials:
        _show_trials(overview, console)
    if overview.verdicts:
        _show_verdicts(overview, console)
    for note in overview.notes:
        console.print(cell(note, "yellow"))


def _show_stages(overview: "Overview", console: Console) -> None:
    rows = table(f"Stages of {overview.namespace}", "stage", "shadow", "members", "state", "behind")
    for one in overview.stages:
        behind = ", ".join(f"{topic.removeprefix(f'{overview.namespace}.')} {lag}" for topic, lag in one.lag.items())
        members = cell(one.members, "" if one.members else "red")
        rows.add_row(cell(one.stage), cell(one.shadow), members, cell(one.state.lower()), cell(behind))
    console.print(rows)


def _show_trials(overview: "Overview", console: Console) -> None:
    rows = table("Trials", "trial", "comparisons", "labels", "books", "note")
    for one in overview.trials:
        counts = ", ".join(f"{name} {count}" for name, count in one.statuses.items())
        rows.add_row(cell(one.trial), cell(counts), cell(one.labels), _books(one.books), cell(one.books.get("note")))
    console.print()
    console.print(rows)


def _show_verdicts(overview: "Overview", console: Console) -> None:
    rows = table("Verdicts", "trial", "verdict", "requests", "labels", "needed")
    for one in overview.verdicts:
        word = (
            cell("not decided", "bold red") if one.fault else cell(one.verdict.replace("_", " "), STYLES[one.verdict])
        )
        rows.add_row(cell(one.trial), word, cell(one.requests), cell(one.labels), cell(needed_sentence(one.needed)))
    console.print()
    console.print(rows)


def _books(books: Mapping[str, object]) -> Text:
    match books.get("closes"):
        case True:
            return cell("close", "green")
        case False:
            return cell(f"gap {books.get('gap')}", "bold red")
        case _:
            return cell("unknown", "yellow")
