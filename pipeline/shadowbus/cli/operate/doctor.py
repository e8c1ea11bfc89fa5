"""`shadowbus doctor`: what is wrong, how it was seen, and what to do about it."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from shadowbus.cli.console import cell, emit_json, output, tell
from shadowbus.cli.options import settings_of

if TYPE_CHECKING:
    from shadowbus.doctor.checks import Diagnosis
    from shadowbus.doctor.evidence import Evidence
    from shadowbus.doctor.finding import Finding

STYLES = {"problem": "bold red", "warning": "yellow"}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Diagnose topics, producers, rights, bundles and stages, and suggest fixes."""
    settings = settings_of(context)
    from shadowbus.doctor.checks import diagnose
    from shadowbus.doctor.gather import gather

    if not as_json:
        tell(f"Looking at {settings.namespace}; this takes some seconds and changes nothing.")
    evidence = gather(settings)
    diagnosis = diagnose(evidence)
    if as_json:
        emit_json(_plain(evidence, diagnosis))
    else:
        _show(evidence, diagnosis, output())
    if not diagnosis.ok:
        raise typer.Exit(1)


def _plain(evidence: "Evidence", diagnosis: "Diagnosis") -> dict[str, object]:
    return {
        "ok": diagnosis.ok,
        "problems": diagnosis.count("problem"),
        "warnings": diagnosis.count("warning"),
        "findings": [dataclasses.asdict(finding) for finding in diagnosis.findings],
        "checks": list(diagnosis.made),
        "sampled": {name: len(sample.records) for name, sample in evidence.samples.items()},
    }


def _show(evidence: "Evidence", diagnosis: "Diagnosis", console: Console) -> None:
    for finding in diagnosis.findings:
        _show_finding(finding, console)
    console.print(cell(summary(evidence, diagnosis), "" if diagnosis.findings else "green"))


def _show_finding(finding: "Finding", console: Console) -> None:
    head = cell(f"{finding.severity.upper()}  ", STYLES[finding.severity])
    console.print(head + cell(f"{finding.what}  [{finding.check}]"), soft_wrap=True)
    rows = Table.grid(padding=(0, 1, 0, 0))
    for title, words in (("seen", finding.evidence), ("do", finding.fix)):
        rows.add_row(cell(title, "bold"), cell(words))
    console.print(Padding(rows, (0, 0, 0, 9), expand=False))
    console.print()


def summary(evidence: "Evidence", diagnosis: "Diagnosis") -> str:
    """The last line: how many findings, and what they rest on."""
    problems, warnings = diagnosis.count("problem"), diagnosis.count("warning")
    found = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    sampled = sum(len(sample.records) for sample in evidence.inputs())
    looked = f"{len(diagnosis.made)} checks of {evidence.settings.namespace}, {sampled:,} records sampled"
    return f"{found or 'All is well'}: {looked}."
