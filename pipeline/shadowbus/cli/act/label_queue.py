"""`shadowbus label-queue`: which comparisons to have labelled, chosen by chance with known probabilities."""

import contextlib
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from shadowbus.cli.console import tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, since_ms, which_shadow
from shadowbus.cli.read.recorded import MOST, ComparisonsFile, Most, OneTrial, busy, recorded
from shadowbus.errors import ShadowbusError

if TYPE_CHECKING:
    from shadowbus.labelling.candidate import Candidate, Candidates
    from shadowbus.labelling.queue import Queue

COLUMNS = ("request_id", "timestamp_ms", "agree", "live", "shadow", "segments", "probability")


def label_queue(
    context: typer.Context,
    count: Annotated[
        int, typer.Option(min=1, metavar="N", help="Labelling budget: number of requests to pick.", show_default=False)
    ],
    named: NamedShadow = "",
    shadow: Shadow = "",
    agreements: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of the budget spent on agreements.")
    ] = 0.1,
    by_segment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pick equally from each value of this segment.", show_default=False),
    ] = None,
    trial: OneTrial = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only requests since: 2h, 7d, or ISO 8601.", show_default=False)
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    most: Most = MOST,
    comparisons: ComparisonsFile = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read labels from JSON lines, not from the topic.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file, not to stdout.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON lines, not CSV.")] = False,
) -> None:
    """Pick requests to label, each with the probability that its label must carry."""
    shadow = which_shadow(named, shadow)
    if comparisons is None:
        settings_of(context).shadow_named(shadow)
    from shadowbus.labelling.candidate import candidates_of
    from shadowbus.labelling.queue import queue
    from shadowbus.topology import COMPARISONS, LABELS

    with busy("Reading comparisons …"):
        known = recorded(context, LABELS, labels, most) if labels or not comparisons else ()
        found = candidates_of(recorded(context, COMPARISONS, comparisons, most), known, shadow, trial, since_ms(since))
    if found.queued:
        raise ShadowbusError(
            f"{found.queued} of these comparisons were chosen by an earlier queue (their labels carry a probability), "
            f"and no comparison may be in two: take those that came later, with --since {found.queued_ms + 1}."
        )
    chosen = queue(found.found, count, agreements=agreements, seed=seed, by_segment=by_segment)
    with _written(out) as lines:
        _write(lines, chosen.chosen, as_json=as_json)
    _tell(found, chosen)


def _write(lines: TextIO, chosen: "tuple[tuple[Candidate, float], ...]", *, as_json: bool) -> None:
    from shadowbus.labelling.csv_cells import id_cell, json_cell

    table = csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # no other separator splits a cell
    if not as_json:
        table.writerow(COLUMNS)
    for one, probability in chosen:
        values: tuple[Any, ...] = one.request_id, one.timestamp_ms, one.agree, one.live, one.shadow, one.segments
        if as_json:
            lines.write(json_cell(dict(zip(COLUMNS, (*values, probability), strict=True))) + "\n")
        else:
            table.writerow([id_cell(one.request_id), one.timestamp_ms, *map(json_cell, values[2:]), probability])


def _tell(found: "Candidates", chosen: "Queue") -> None:
    if not found.trial:
        tell("There are no comparisons of this shadow: has replay been running?")
        return
    disagreements = sum(not one.agree for one, _ in chosen.chosen)
    tell(
        f"{found.trial}: {disagreements} of {chosen.disagreements} disagreements and "
        f"{len(chosen.chosen) - disagreements} of {chosen.agreements} agreements, none of them labelled before "
        f"({found.labelled} were)."
    )
    tell(f"Their labels will show the accuracy difference to within {chosen.margin:.4f} at worst, in 19 of 20 cases.")
    tell(f"The next queue begins with --since {found.newest_ms + 1}.")


@contextlib.contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as lines:
            yield lines
    except OSError as error:
        raise ShadowbusError(f"{out} cannot be written: {error.strerror}.") from error
