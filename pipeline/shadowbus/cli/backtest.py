"""`shadowbus backtest`: what would the verdict have been? The same stages over files, without Kafka."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shadowbus.cli.console import emit_json, tell
from shadowbus.cli.options import settings_of
from shadowbus.cli.report import write
from shadowbus.cli.verdict import EXIT_CODES, show
from shadowbus.records import Verdict, decode
from shadowbus.settings.backtest import load_columns
from shadowbus.stopping import stop_on_signals

REASONS = 3
"""How many reasons are told for each file."""


def backtest(
    context: typer.Context,
    shadow: Annotated[list[str], typer.Option(metavar="NAME", help="Of which shadow; may be repeated.")],
    requests: Annotated[Path, typer.Option(metavar="FILE", help="What production was asked.")],
    predictions: Annotated[Path, typer.Option(metavar="FILE", help="What it answered; may be the same file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the results.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What really happened; may be the same file.")
    ] = None,
    shadow_predictions: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]FILE", help="What the shadow answered, if it was asked already: no model is run."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which column is what, in place of \\[backtest].")
    ] = None,
    trained_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|none",
            help="The time of the newest record the shadow was trained on, in place of what its bundle says; `none`: "
            "it was trained on nothing of this log.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds something else.")] = False,
    gate: Annotated[bool, typer.Option("--gate", help="The exit code is the verdict, as of `verdict`.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html, too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict records, one line each.")] = False,
) -> None:
    """Run shadows over logs in files, without Kafka."""
    settings = settings_of(context)
    if mapping is not None:
        settings = replace(settings, backtest=load_columns(mapping))
    from shadowbus.backtest.folder import Folder
    from shadowbus.backtest.plan import plan
    from shadowbus.backtest.run import backtest as run

    files = {"requests": requests, "predictions": predictions, **({"labels": labels} if labels else {})}
    planned = plan(settings, shadow, files, shadow_predictions or [], trained_until)
    with Folder(out, settings.namespace, force=force) as folder, stop_on_signals() as stop, _progress() as told:
        try:
            result = run(planned, folder, stop, told)
        finally:
            _tell_aside(folder.aside)
    _tell_order(result.out_of_order, planned.settings.replay.join_window_ms)
    records = [(decode(Verdict, value), value) for value in result.verdicts]
    for record, value in records:
        if as_json:
            emit_json(value)
        else:
            show(record)
    if report:
        _report(out)
    tell(f"Everything is in {out}.")
    if gate:
        raise typer.Exit(max(EXIT_CODES[record.verdict] for record, _ in records))


def _report(folder: Path) -> None:
    """The story of the trials as one file; without what draws it, how to have it."""
    if any(find_spec(module) is None for module in ("jinja2", "vl_convert")):
        tell("There is no report.html, which needs 'shadowbus[report]'.")
        return
    from shadowbus.report.sources import from_backtest

    write(from_backtest(folder), folder / "report.html")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, int], None]]:
    """A bar on stderr, on terminals only."""
    if not sys.stderr.isatty():
        yield lambda _done, _comparisons: None
        return
    text, bar = TextColumn("{task.completed:.0%}"), BarColumn()
    columns = (bar, text, TextColumn("{task.fields[comparisons]} comparisons"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0, comparisons=0)
        yield lambda done, comparisons: shown.update(task, completed=done, comparisons=comparisons)


def _tell_aside(aside: Mapping[Path, Counter[str]]) -> None:
    for path, reasons in aside.items():
        most = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(REASONS))
        others = f"; {len(reasons) - REASONS} other reasons" if len(reasons) > REASONS else ""
        rows = "1 row was" if reasons.total() == 1 else f"{reasons.total()} rows were"
        tell(f"{path}: {rows} set aside in dead-letters.jsonl ({most}{others}).")


def _tell_order(out_of_order: Mapping[Path, int], window_ms: int) -> None:
    for path, rows in out_of_order.items():
        tell(
            f"{path}: {rows} rows are older than rows before them by more than replay.join_window_ms ({window_ms} ms). "
            "Requests and predictions may miss each other: sort the file by time."
        )
