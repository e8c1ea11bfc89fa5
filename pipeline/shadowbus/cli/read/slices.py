"""`shadowbus slices`: for which requests is the shadow worse than for others, or than the live model?"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowbus.cli.console import cell, emit_json, output, table, tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, which_shadow
from shadowbus.cli.read.recorded import MOST, ComparisonsFile, Most, OneTrial, busy, recorded

if TYPE_CHECKING:
    from shadowbus.slices.row import Rows
    from shadowbus.slices.search import Search


class By(StrEnum):
    """What speaks against the shadow."""

    disagreement = "disagreement"
    harm = "harm"


def slices(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: OneTrial = None,
    by: Annotated[
        By,
        typer.Option(
            "--measure", help="What to search for: disagreement, or harm (live right, shadow wrong; needs labels)."
        ),
    ] = By.disagreement,
    max_depth: Annotated[int, typer.Option(min=1, max=6, metavar="N", help="Most conditions in one slice.")] = 3,
    alpha: Annotated[
        float, typer.Option(min=0.0001, max=0.5, metavar="P", help="Chance of reporting any slice that is not worse.")
    ] = 0.05,
    most: Most = MOST,
    comparisons: ComparisonsFile = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read outcomes from JSON lines, not the topic.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Search for slices of requests for which the shadow is worse."""
    shadow = which_shadow(named, shadow)
    if comparisons is None:
        settings_of(context).shadow_named(shadow)
    elif by is By.harm and outcomes is None:
        raise typer.BadParameter("'--measure harm' with '--comparisons' needs '--outcomes' too.")
    from shadowbus.slices.row import rows_of
    from shadowbus.slices.search import search
    from shadowbus.topology import COMPARISONS, OUTCOMES

    with busy("Reading comparisons …"):
        labelled = recorded(context, OUTCOMES, outcomes, most) if by is By.harm else ()
        rows = rows_of(recorded(context, COMPARISONS, comparisons, most), labelled, shadow, by.value, trial)
    with busy(f"Searching in {len(rows.rows)} requests …"):
        found = search(rows.rows, by.value, alpha=alpha, depth=max_depth)
    if as_json:
        trial_of = {"trial": rows.trial, "with_features": rows.with_features, "unmet_outcomes": rows.unmet}
        emit_json({**trial_of, **found.record()})
    else:
        _show(rows, found)


def _show(rows: "Rows", found: "Search") -> None:
    console = output()
    console.print(cell(rows.trial or "no trial", "bold"), cell(f"by {found.by}", "dim"))
    seen = f"{found.found_on} requests to find slices, {found.tested_on} others to test them"
    console.print(cell(f"{seen}; on all of them {found.overall:+.4f}", "dim"))
    if found.slices:
        meaning = "more disagreement" if found.by == "disagreement" else "accuracy lost"
        shown = table("", "slice", "requests", meaning, "interval", "verdict")
        for one in found.slices:
            verdict = cell("shown worse", "bold red") if one.shown else cell("not shown", "dim")
            interval = f"{one.low:+.4f} to {one.high:+.4f}"
            shown.add_row(cell(one.rule), cell(one.requests), cell(f"{one.difference:+.4f}"), cell(interval), verdict)
        console.print(shown)
    else:
        console.print(cell("No slice stands out."))
    if not rows.trial:
        tell("There are no comparisons of this shadow: has replay been running?")
    elif not rows.with_features:
        tell("No comparison holds features, so only segments were searched: see replay.features_share.")
    if rows.unmet:
        tell(f"{rows.unmet} outcomes are of comparisons older than those that were read: --limit reads more.")
