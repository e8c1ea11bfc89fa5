"""`shadowbus tail`: comparisons as they come, one line each."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from shadowbus.cli.console import cell, clean, emit_json, output, tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, which_shadow
from shadowbus.cli.pipes import nobody_reads
from shadowbus.clock import Deadline
from shadowbus.errors import Malformed
from shadowbus.processes.signals import stop_on_signals
from shadowbus.records import Answer, Comparison, from_object, parse_object
from shadowbus.trials import shadow_of

ANSWER_SECONDS = 20.0
MOST_CHARACTERS = 40
AGREED = {True: ("agree", "green"), False: ("differ", "bold red"), None: ("-", "dim")}


def tail(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    disagreements: Annotated[
        bool, typer.Option("--disagreements", help="Only comparisons where the shadow disagrees.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each record as one line of JSON.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest record that Kafka keeps.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N comparisons.", show_default=False)
    ] = None,
) -> None:
    """Follow the comparisons, until Ctrl-C."""
    shadow = which_shadow(named, shadow, required=False)
    settings = settings_of(context)
    if shadow:
        settings.shadow_named(shadow)
    from shadowbus.kafka.read.subscribe import follow
    from shadowbus.topology import COMPARISONS

    with stop_on_signals() as stop:
        deadline = Deadline.after(ANSWER_SECONDS)
        values = follow(settings, COMPARISONS, stop, deadline, from_beginning=from_beginning)
        with contextlib.closing(values):
            console = output()
            for record, comparison in itertools.islice(_wanted(values, shadow, disagreements), limit):
                if as_json:
                    emit_json(record)
                else:
                    console.print(line_of(comparison), soft_wrap=True)
                if nobody_reads():
                    break


def line_of(comparison: Comparison) -> Text:
    """A comparison on one line: time, id, status, live -> shadow, whether they agree, and the two latencies."""
    word, style = AGREED[comparison.agree]
    live, shadow = comparison.live, comparison.shadow
    parts = (
        cell(_time(comparison.timestamp_ms), "dim"),
        cell(_short(comparison.request_id), "cyan"),
        cell(_short(comparison.status), "" if comparison.status == "compared" else "yellow"),
        cell(f"{_answer(live)} -> {_answer(shadow)}"),
        cell(word, style),
        cell(f"{_latency(live)} -> {_latency(shadow)}", "dim"),
        cell(_short(comparison.trial), "dim"),
    )
    return Text("  ").join(parts)


def _wanted(values: Iterator[bytes], shadow: str, disagreements: bool) -> Iterator[tuple[dict[str, Any], Comparison]]:
    for value in values:
        try:
            record = parse_object(value)
            comparison = from_object(Comparison, record)
        except Malformed as error:
            tell(f"A record in the comparisons topic is not one: {error}.")
            continue
        if disagreements and comparison.agree is not False:
            continue
        if not shadow or shadow_of(comparison.trial) == shadow:
            yield record, comparison


def _short(foreign: str) -> str:
    text = clean(foreign)  # before it is cut or put beside other text: half an escape sequence would swallow that
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _time(timestamp_ms: int) -> str:
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return str(timestamp_ms)
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _answer(answer: Answer | None) -> str:
    if answer is None:
        return "nothing"
    if answer.error is not None:
        return f"error: {_short(answer.error)}"
    return _short(answer.prediction if isinstance(answer.prediction, str) else json.dumps(answer.prediction))


def _latency(answer: Answer | None) -> str:
    return "-" if answer is None or answer.latency_ms is None else f"{answer.latency_ms:.1f} ms"
