"""`shadowbus verdict`: may this shadow be promoted? The exit code is the answer."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer
from rich.table import Table

from shadowbus.cli.console import cell, emit_json, output, table, tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, which_shadow
from shadowbus.cli.read.find_verdict import READ_SECONDS, Found, find
from shadowbus.cli.read.verify import verify
from shadowbus.cli.read.wait import is_final, still_open, wait_for_final
from shadowbus.clock import Deadline
from shadowbus.cutoff import sentence as training_sentence
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.gates import differs, short
from shadowbus.gates import sentence as gate_sentence
from shadowbus.processes.signals import stop_on_signals
from shadowbus.records import Verdict
from shadowbus.records.published import ranges_of, read_aggregate
from shadowbus.settings import Settings
from shadowbus.story.deviation import deviation
from shadowbus.story.fields import number
from shadowbus.story.figures import MISSING, YEAR, anything, counted, duration
from shadowbus.story.vocabulary import only_in_labels

LONG_MS = YEAR * 1000
EXIT_CODES = {"PROMOTE": 0, "KEEP_WATCHING": 10, "SEND_BACK": 20}
STYLES = {"PROMOTE": "bold green", "KEEP_WATCHING": "bold yellow", "SEND_BACK": "bold red"}
STATE_STYLES = {"holds": "green", "fails": "red", "open": "yellow"}


def verdict(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="One of its trials; the newest if absent.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--verify", help="Recompute it from the topics; exit code 1 if it differs.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the verdict is final: PROMOTE or SEND BACK.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="S", help="With --wait: give up after S seconds, with exit code 10."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict record, one line of JSON.")] = False,
) -> None:
    """Show the verdict; exit code 0 is PROMOTE, 10 KEEP WATCHING, 20 SEND BACK, 1 where it could not be decided."""
    shadow = which_shadow(named, shadow)
    if timeout is not None and not wait:
        raise typer.BadParameter("needs --wait.", param_hint="--timeout")
    settings = settings_of(context)
    settings.shadow_named(shadow)
    if wait:
        with stop_on_signals() as stop:
            found = wait_for_final(settings, shadow, trial, timeout, stop)
        _tell_undecided(found)
    else:
        found = find(settings, shadow, trial, Deadline.after(READ_SECONDS))
    if found is None:
        of = f"trial {trial}" if trial else f"shadow {shadow}"
        tell(f"There is no verdict yet on the {of}: KEEP WATCHING.")
        raise typer.Exit(EXIT_CODES["KEEP_WATCHING"])
    if again:
        tell(verify(settings, found.record, found.value))
    if other := differs(settings, found.record.trial, found.record.gate):
        tell(other)
    if as_json:
        emit_json(found.value)
    else:
        numbers = settings.shadow_named(shadow).task == "regression"
        show(found.record, _summary(settings, found.record.trial) if numbers else {})
    if found.record.fault:
        raise ShadowbusError(f"{found.record.trial} could not be decided. {found.record.fault}")
    raise typer.Exit(EXIT_CODES[found.record.verdict])


def _tell_undecided(found: Found | None) -> None:
    """What a wait that ended early was still waiting for."""
    if found is not None and not is_final(found):
        undecided = still_open(found.record)
        tell(f"Stopped waiting: no final verdict yet.{undecided and f' Still undecided: {undecided}.'}")


def _summary(settings: Settings, trial: str) -> Mapping[str, object]:
    """Of the whole trial; empty where there is none."""
    from shadowbus.kafka.read.topic import read_table
    from shadowbus.topology import AGGREGATES

    key = f"{trial}|all|all".encode()
    value = read_table(settings, AGGREGATES, Deadline.after(READ_SECONDS)).get(key)
    with contextlib.suppress(Malformed):
        return read_aggregate(value, key).summary if value else {}
    return {}


def show(record: Verdict, summary: Mapping[str, object]) -> None:
    """A verdict for people, on stdout. `summary` is of its trial, for what numbers do not say; it may be empty."""
    console = output()
    console.print(cell(record.verdict.replace("_", " "), STYLES[record.verdict]), cell(record.trial))
    if record.fault:
        console.print(cell("It could not be decided, and what stands here is nobody's to act on.", "bold red"))
    console.print(cell(f"{counted(record.requests, 'request')}, {counted(record.labels, 'label')}", "dim"))
    for sentence in filter(None, _said(record, summary)):
        console.print(cell(sentence))
    if record.criteria:
        console.print(_criteria(record))
    if sentence := needed_sentence(record.needed, record.decided_ms):
        console.print(cell(sentence))
    if sentence := evidence_sentence(record.evidence, short(record.gate)):
        console.print(cell(sentence, "dim"))


def _said(record: Verdict, summary: Mapping[str, object]) -> Iterator[str]:
    if off := deviation(summary):
        yield f"{off.text} Accuracy is the share of answers within the tolerance of their label."
    yield gate_sentence(record.gate)
    yield only_in_labels(summary)
    yield training_sentence(record.training, record.requests, record.labels)
    yield record.note


def _criteria(record: Verdict) -> Table:
    rows = table("", "criterion", "value", "interval", "limit", "n", "state", "note")
    for one in record.criteria:
        if isinstance(one, Mapping):
            ends = one.get("low"), one.get("high")
            interval = MISSING if ends == (None, None) else " to ".join(map(anything, ends))
            state = str(one.get("state"))
            figures = (anything(one.get("value")), interval, anything(one.get("limit")), anything(one.get("n")))
            numbers, style = map(cell, figures), STATE_STYLES.get(state, "")
            rows.add_row(cell(one.get("name")), *numbers, cell(state, style), cell(one.get("note")))
    return rows


def needed_sentence(needed: Mapping[str, object], as_of_ms: int = 0) -> str:
    """What is still missing, in words; empty when nothing is.

    Args:
        needed: Of a verdict.
        as_of_ms: The time of the verdict, to say how long it takes from then; 0: not to say it.

    >>> needed_sentence({"requests": 1902, "labels": 0, "note": "PROMOTE, at the earliest.", "at_ms": 5_400_000}, 1)
    'Needs about 1,902 more requests, 1.5 hours: PROMOTE, at the earliest.'
    >>> needed_sentence({"requests": 26_991_048, "note": "SEND BACK.", "at_ms": 10**11}, 1)
    'At this rate never within a year: it would take 3.2 years. SEND BACK.'
    """
    missing = [
        counted(amount, unit).replace(" ", " more ", 1)
        for unit in ("request", "label")
        if (amount := number(needed, f"{unit}s"))
    ]
    note, at_ms = str(needed.get("note") or ""), needed.get("at_ms")
    wait = duration((at_ms - as_of_ms) / 1000) if as_of_ms and isinstance(at_ms, int) and at_ms > as_of_ms else ""
    if as_of_ms and isinstance(at_ms, int) and at_ms - as_of_ms > LONG_MS:
        return f"At this rate never within a year: it would take {duration((at_ms - as_of_ms) / 1000)}. {note}"
    if not missing:
        return f"Needs about {wait}: {note}" if wait else note
    return f"Needs about {' and '.join(missing)}{', ' if wait else ''}{wait}: {note}"


def evidence_sentence(evidence: Mapping[str, object], gate: str = "") -> str:
    """What a verdict rests on, in short; empty when it does not say.

    >>> offsets = {"comparisons": {"0": [5, 905], "1": [0, 1100]}, "outcomes": {}, "vitals": {"0": [6, 7]}}
    >>> evidence_sentence({"offsets": offsets, "models": ["3f2a91c4" * 8]}, "77ab01cd")
    'Rests on 2,000 offsets of comparisons and 0 of outcomes; model 3f2a91c4, gate 77ab01cd.'
    """
    offsets, models = (evidence.get(name) for name in ("offsets", "models"))
    if not isinstance(offsets, Mapping) or not isinstance(models, list):
        return ""
    ranges = ranges_of(evidence)
    read = {
        topic: sum(after - first for first, after in ranges.get(topic, {}).values())
        for topic in ("comparisons", "outcomes")
    }
    model = " and ".join(str(one)[:8] for one in models) or "unknown"
    rests = f"Rests on {read['comparisons']:,} offsets of comparisons and {read['outcomes']:,} of outcomes"
    return f"{rests}; model {model}, gate {gate or 'unknown'}."
