"""`shadowbus verdict`: may this shadow be promoted? The exit code is the answer."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from shadowbus.cli.console import cell, emit_json, output, table, tell
from shadowbus.cli.options import settings_of
from shadowbus.cli.read.verify import verify
from shadowbus.clock import Deadline
from shadowbus.cutoff import sentence as training_sentence
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.gates import differs, short
from shadowbus.gates import sentence as gate_sentence
from shadowbus.records import Verdict
from shadowbus.records.published import ranges_of, read_aggregate, read_verdict
from shadowbus.settings import Settings
from shadowbus.story.deviation import deviation
from shadowbus.story.fields import number
from shadowbus.story.figures import MISSING, YEAR, anything, counted, duration
from shadowbus.story.vocabulary import only_in_labels
from shadowbus.trials import shadow_of, verdicts_in

READ_SECONDS = 60.0
LONG_MS = YEAR * 1000
EXIT_CODES = {"PROMOTE": 0, "KEEP_WATCHING": 10, "SEND_BACK": 20}
STYLES = {"PROMOTE": "bold green", "KEEP_WATCHING": "bold yellow", "SEND_BACK": "bold red"}
STATE_STYLES = {"holds": "green", "fails": "red", "open": "yellow"}


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict, and the very bytes it was read from."""

    record: Verdict
    value: bytes


@dataclass(frozen=True, slots=True)
class Odd:
    """A record under a trial's name that is no verdict on it, and why."""

    trial: str
    why: str

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"The verdict on {self.trial} cannot be used: {self.why}. Something else than "
            "`shadowbus decide` has written it: start that again, and it writes it anew."
        )


def verdict(
    context: typer.Context,
    shadow: Annotated[str, typer.Option(metavar="NAME", help="Of which shadow.", show_default=False)],
    trial: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="Of which of its trials; else the newest.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--verify", help="Work it out again from the topics; exit code 1 if it is not the same.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The record of the verdicts topic, on one line.")] = False,
) -> None:
    """Show the verdict; exit code 0 is PROMOTE, 10 KEEP WATCHING, 20 SEND BACK, 1 where it could not be decided."""
    settings = settings_of(context)
    settings.shadow_named(shadow)
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


def verdicts(table: Mapping[bytes, bytes]) -> tuple[list[Found], list[Odd]]:
    """What lies in a verdicts topic under the names of trials: verdicts, and what is none."""
    found, odd = list[Found](), list[Odd]()
    for key, value in verdicts_in(table).items():
        try:
            found.append(Found(read_verdict(value, key), value))
        except Malformed as error:
            odd.append(Odd(key.decode(errors="replace"), str(error)))
    return found, odd


def find(settings: Settings, shadow: str, trial: str | None, deadline: Deadline) -> Found | None:
    """The verdict on a trial of a shadow, or on its newest one.

    Raises:
        BrokerError: The topics cannot be read.
        ShadowbusError: What lies there is no verdict.
    """
    from shadowbus.kafka.read.table import read_table
    from shadowbus.topology import AGGREGATES, VERDICTS

    found, odd = verdicts(read_table(settings, VERDICTS, deadline))
    of_shadow: dict[str, Found | Odd] = {one.record.trial: one for one in found} | {one.trial: one for one in odd}
    of_shadow = {name: one for name, one in of_shadow.items() if shadow_of(name) == shadow and trial in (None, name)}
    began: dict[str, int] = {}
    if len(of_shadow) > 1:
        # Labels of an old trial still arrive: the newest is the one that began last, not the one decided last.
        began = beginnings(read_table(settings, AGGREGATES, deadline))
    newest = max(of_shadow, key=lambda name: (began.get(name, -1), _decided_ms(of_shadow[name])), default=None)
    chosen = None if newest is None else of_shadow[newest]
    if isinstance(chosen, Odd):
        raise ShadowbusError(chosen.sentence)
    return chosen


def _decided_ms(one: Found | Odd) -> int:
    return one.record.decided_ms if isinstance(one, Found) else -1


def beginnings(table: Mapping[bytes, bytes]) -> dict[str, int]:
    """The time of each trial's first record, by trial, from aggregates by their keys."""
    began: dict[str, int] = {}
    for key, value in table.items():
        if key.endswith(b"|all|all"):
            with contextlib.suppress(Malformed):
                aggregate = read_aggregate(value, key)
                if isinstance(first := aggregate.totals.get("first_ms"), int):
                    began[aggregate.trial] = first
    return began


def _summary(settings: Settings, trial: str) -> Mapping[str, object]:
    """Of the whole trial; empty where there is none."""
    from shadowbus.kafka.read.table import read_table
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
