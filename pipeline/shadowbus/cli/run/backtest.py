"""`shadowbus backtest`: what would the verdict have been? The same stages over files, without Kafka."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shadowbus.cli.console import emit_json, tell
from shadowbus.cli.options import settings_of
from shadowbus.cli.read.report import write
from shadowbus.cli.read.verdict import EXIT_CODES, show
from shadowbus.errors import ShadowbusError
from shadowbus.processes.signals import stop_on_signals
from shadowbus.records import Verdict, decode
from shadowbus.settings import Settings
from shadowbus.settings.backtest import load_columns

if TYPE_CHECKING:
    from shadowbus.backtest.results import Folder

REASONS = 3
"""How many reasons are told for each file."""

NAMES = 12
"""So many columns are named that are read alike."""


def backtest(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="One file that has everything.", show_default=False)
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of which shadow, where there are several; may be repeated."),
    ] = None,
    requests: Annotated[Path | None, typer.Option(metavar="FILE", help="What production was asked.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What it answered; may be the same file.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the results.")] = Path("backtest-results"),
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
    max_set_aside: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="More rows set aside than this is a failure.")
    ] = 0.05,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds something else.")] = False,
    gate: Annotated[bool, typer.Option("--exit-code", help="Exit with the verdict's code, as `verdict` does.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html, too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict records, one line each.")] = False,
) -> None:
    """Run shadows over logs in files, without Kafka."""
    settings = settings_of(context)
    if mapping is not None:
        settings = replace(settings, backtest=load_columns(mapping))
    from shadowbus.backtest.plan import plan
    from shadowbus.backtest.results import Folder
    from shadowbus.backtest.run import backtest as run

    named = {"requests": requests, "predictions": predictions, "labels": labels}
    settings, files, recorded = _files(settings, file, named, shadow_predictions or [])
    planned = plan(settings, shadow or [], files, recorded, trained_until)
    with Folder(out, settings.namespace, force=force) as folder, stop_on_signals() as stop, _progress() as told:
        try:
            result = run(planned, folder, stop, told)
        except BaseException:
            _tell_reading(folder)
            raise
    misread = max(folder.share_aside().values(), default=0.0) > max_set_aside
    if misread:
        _tell_reading(folder)
    records = [(decode(Verdict, value), value) for value in result.verdicts]
    summaries = _summaries(out)
    for record, value in records:
        if as_json:
            emit_json(value)
        else:
            show(record, summaries.get(record.trial, {}))
    if not misread:
        _tell_reading(folder)
    _tell_unmet(files.get("labels"), folder)
    _tell_order(result.out_of_order, planned.settings.replay.join_window_ms)
    if report:
        _report(out)
    tell(f"Everything is in {out}.")
    if misread:
        raise _misread(folder)
    if gate:
        raise typer.Exit(max(EXIT_CODES[record.verdict] for record, _ in records))


def _files(
    settings: Settings, file: Path | None, named: Mapping[str, Path | None], recorded: list[str]
) -> tuple[Settings, dict[str, Path], list[str]]:
    """The settings, files by topic, and files of shadows' predictions: those named, else what the one file has."""
    files: dict[str, Path] = {}
    if file is not None:
        from shadowbus.backtest.plan import one_file

        settings, files, found = one_file(settings, file)
        recorded = recorded or found
    files |= {topic: path for topic, path in named.items() if path is not None}
    if missing := [topic for topic in ("requests", "predictions") if topic not in files]:
        raise typer.BadParameter(f"Name a FILE that has everything, or one with --{missing[0]}.")
    return settings, files, recorded


def _misread(folder: "Folder") -> ShadowbusError:
    """More rows were set aside than may be: what to do."""
    path, share = max(folder.share_aside().items(), key=lambda one: one[1])
    return ShadowbusError(
        f"{share:.1%} of the rows of {path} were set aside, and a verdict would rest on the others alone: mend what is "
        f"named above, or take it as it is with --max-set-aside {math.ceil(share * 100) / 100:g}."
    )


def _summaries(folder: Path) -> dict[str, Mapping[str, object]]:
    """The summary of each whole trial."""
    from shadowbus.report.sources import from_backtest

    told = (one for known in from_backtest(folder).told for one in known.aggregates)
    return {one.trial: one.summary for one in told if one.segment == one.window == "all"}


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


def _tell_reading(folder: "Folder") -> None:
    """Of each file how it was read, and what was set aside and why."""
    for path, says in folder.says.items():
        tell(f"{path}: {folder.rows[path]:,} rows. {_as_read(says)}")
    shares = folder.share_aside()
    for path, counted in folder.aside.items():
        reasons = folder.reasons(path)
        most = "; ".join(f"{count:,} {reason}" for reason, count in list(reasons.items())[:REASONS])
        others = f"; {len(reasons) - REASONS} other reasons" if len(reasons) > REASONS else ""
        rows = "1 row was" if counted.total() == 1 else f"{counted.total():,} rows were"
        share = f" ({shares[path]:.1%} of its rows could not be used)" if shares.get(path) else ""
        tell(f"{path}: {rows} set aside in dead-letters.jsonl{share}: {most}{others}.")


def _as_read(says: Mapping[str, str]) -> str:
    """Columns by how they are read.

    >>> _as_read({"age": "number", "x": "number", "at": "time, ISO 8601"})
    'age, x: number; at: time, ISO 8601.'
    """
    alike: dict[str, list[str]] = {}
    for name, said in says.items():
        alike.setdefault(said, []).append(name)
    return "; ".join(f"{_named(names)}: {said}" for said, names in alike.items()) + "."


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def _tell_unmet(labels: Path | None, folder: "Folder") -> None:
    """That labels were given, and none met a request."""
    if labels is not None and folder.counts["comparisons"] and not folder.counts["outcomes"]:
        tell(f"No label of {labels} has met a request: do both carry the same ids?")


def _tell_order(out_of_order: Mapping[Path, int], window_ms: int) -> None:
    for path, rows in out_of_order.items():
        tell(
            f"{path}: {rows:,} rows are older than rows before them by more than replay.join_window_ms "
            f"({window_ms:,} ms). Requests and predictions may miss each other: sort the file by time."
        )
