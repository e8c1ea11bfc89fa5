"""`shadowbus status`: what runs, how far it is behind, whether the books close, and every verdict."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from shadowbus.cli.console import cell, emit_json, output, table
from shadowbus.cli.options import settings_of
from shadowbus.cli.read.verdict import STYLES, needed_sentence
from shadowbus.clock import Deadline
from shadowbus.report.moment import moment
from shadowbus.story.acting import next_step, stands, told
from shadowbus.story.figures import anything

if TYPE_CHECKING:
    from shadowbus.cli.read.overview import Overview
    from shadowbus.records import Promotion, Verdict

READ_SECONDS = 60.0


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show stages with members and lag, the books of each trial, and the verdicts."""
    settings = settings_of(context)
    from shadowbus.cli.read.overview import look

    overview = look(settings, Deadline.after(READ_SECONDS))
    emit_json(overview) if as_json else _show(overview, output(), can_act=bool(settings.promotion.means))


def _show(overview: "Overview", console: Console, *, can_act: bool) -> None:
    _show_stages(overview, console)
    if overview.trials:
        _show_trials(overview, console)
    if overview.verdicts:
        _show_verdicts(overview, console, can_act=can_act)
    for note in overview.notes:
        console.print(cell(note, "yellow"))


def _show_stages(overview: "Overview", console: Console) -> None:
    rows = table(f"Stages of {overview.namespace}", "stage", "shadow", "members", "state", "behind")
    for one in overview.stages:
        behind = ", ".join(f"{topic.removeprefix(f'{overview.namespace}.')} {lag:,}" for topic, lag in one.lag.items())
        members = cell(one.members, "" if one.members else "red")
        rows.add_row(cell(one.stage), cell(one.shadow), members, cell(one.state.lower()), cell(behind))
    console.print(rows)


def _show_trials(overview: "Overview", console: Console) -> None:
    going = [one for one in overview.trials if one.trial not in overview.past]
    if not going:
        return
    rows = table("Trials", "trial", "comparisons", "labels", "books", "note")
    for one in going:
        counts = ", ".join(f"{name} {anything(count)}" for name, count in one.statuses.items())
        rows.add_row(
            cell(one.trial), cell(counts), cell(anything(one.labels)), _books(one.books), cell(one.books.get("note"))
        )
    console.print()
    console.print(rows)


def _show_verdicts(overview: "Overview", console: Console, *, can_act: bool) -> None:
    rows = table("Verdicts", "trial", "verdict", "requests", "labels", "needed")
    acts = {one.trial: one for one in overview.promotions}
    for one in (one for one in overview.verdicts if one.trial not in overview.past):
        word = (
            cell("not decided", "bold red") if one.fault else cell(one.verdict.replace("_", " "), STYLES[one.verdict])
        )
        rows.add_row(
            cell(one.trial),
            word,
            cell(anything(one.requests)),
            cell(anything(one.labels)),
            cell(_rest(one, acts.get(one.trial), can_act=can_act)),
        )
    console.print()
    console.print(rows)
    for one in overview.verdicts:
        if why := overview.past.get(one.trial):
            verdict = one.verdict.replace("_", " ")
            console.print(cell(f"Over: {one.trial}, {verdict} ({why}). {_done(one, acts.get(one.trial))}", "dim"))


def _rest(one: "Verdict", act: "Promotion | None", *, can_act: bool) -> str:
    """What is missing, what was done, and what comes next."""
    return " ".join(
        filter(
            None, (needed_sentence(one.needed, one.decided_ms), _done(one, act), next_step(one, act, can_act=can_act))
        )
    )


def _done(one: "Verdict", act: "Promotion | None") -> str:
    return told(act, moment(act.at_ms)) if act and stands(act, one) else ""


def _books(books: Mapping[str, object]) -> Text:
    match books.get("closes"):
        case True:
            return cell("close", "green")
        case False:
            return cell(f"gap {anything(books.get('gap'))}", "bold red")
        case _:
            return cell("unknown", "yellow")
