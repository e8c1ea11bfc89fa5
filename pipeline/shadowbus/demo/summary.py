"""The end of the demo: four verdicts, four account books, and what the tap cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadowbus.demo.evidence import Trial
from shadowbus.demo.figures import milliseconds, rate_with_interval
from shadowbus.demo.paired import PairedLatency, Percentiles
from shadowbus.demo.progress import Progress
from shadowbus.demo.scenario import CAST, CONTROL, VERDICTS, Part
from shadowbus.demo.screen import verdict_text
from shadowbus.settings import Settings

ENOUGH_CALLS = 1_500
"""With so many calls every verdict of the demo has to be there; with fewer, KEEP WATCHING is an honest answer."""

_PAST = {
    "compared": "compared",
    "shadow_error": "errors",
    "shadow_timeout": "timeouts",
    "shadow_crash": "crashes",
    "shadow_unavailable": "unavailable",
    "live_error": "live errors",
    "live_missing": "without prediction",
    "request_missing": "without request",
}


@dataclass(frozen=True, slots=True)
class End:
    """How it all ended. `requests` is what the tap took in, to which every trial's books are held."""

    progress: Progress
    tap: Mapping[str, Any]
    trials: Mapping[str, Trial]

    @property
    def requests(self) -> int:
        """Requests that the tap captured."""
        return int(self.tap.get("requests", 0))

    def problems(self) -> Iterator[str]:
        """Everything that is not as promised, a sentence each."""
        progress = self.progress
        if progress.errors:
            yield f"Production failed {progress.errors} times: {progress.trouble}."
        if lost := int(self.tap.get("lost", 0)) + progress.labels_lost:
            yield f"The tap dropped {lost} records."
        for part in CAST:
            yield from self._problems_of(part, self.trials[part.shadow])

    def _problems_of(self, part: Part, trial: Trial) -> Iterator[str]:
        if not trial.settled_at(self.requests):
            read = trial.books.get("requests", {}).get("read", 0)
            note = trial.books.get("note") or f"{read} of {self.requests} requests read"
            yield f"The books of {part.shadow} do not close: {note}."
        unfinished = trial.word == "KEEP_WATCHING" and self.progress.calls < ENOUGH_CALLS
        if trial.word != part.verdict and not unfinished:
            still = f" (still open: {', '.join(trial.named('open'))})" if trial.word == "KEEP_WATCHING" else ""
            yield f"{part.shadow}: {VERDICTS[trial.word]}{still}, and {VERDICTS[part.verdict]} was expected."
        if part.shadow == CONTROL and trial.summary.get("agreement", {}).get("value") != 1.0:
            yield "The control does not agree with itself on every request."


def show(console: Console, end: End) -> None:
    """Print it all."""
    console.print(_verdicts(end))
    for part in CAST:
        console.print(_reason(part, end.trials[part.shadow]))
    console.print(_books(end))
    if end.progress.pairs is not None:
        console.print(_latencies(end.progress.pairs))
        console.print(_cost(end.progress.pairs))
    console.print(_tap(end))
    problems = list(end.problems())
    for problem in problems:
        console.print(Text.assemble(("✘ ", "bold red"), problem))
    if not problems:
        console.print(Text("✔ The books of all four trials close.", style="bold green"))


def show_next(console: Console) -> None:
    """Print where to look next."""
    console.print(
        "\nNext: [bold]shadowbus demo --keep[/] leaves everything running, to be looked at in a browser and with "
        "`shadowbus status`, `tail` and `verdict`. docs/verdict.md says how a verdict comes about, docs/capture.md how "
        "to watch a service of your own."
    )


def show_addresses(console: Console, settings: Settings, production: str, page: str) -> None:
    """Print where everything is that still runs."""
    lines = (
        f"\nEverything stays up until Ctrl-C. Look at {page}, or, in another terminal:\n",
        f"  export SHADOWBUS_CONFIG={settings.source}",
        "  shadowbus status",
        "  shadowbus tail --disagreements",
        "  shadowbus verdict --shadow better",
        f"  curl -s {production}/tap",
        f"\nKafka is at {settings.kafka['bootstrap.servers']}, production at {production}.",
    )
    for one in lines:
        console.print(one, soft_wrap=True, markup=False)


def _verdicts(end: End) -> Table:
    table = Table(
        title="The verdicts",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("shadow", "what it is", "agrees with live", "verdict", ""):
        table.add_column(name)
    for part in CAST:
        trial = end.trials[part.shadow]
        expected = trial.word == part.verdict
        mark = Text("✔ as expected", style="green") if expected else Text("… too little traffic", style="yellow")
        if not expected and (trial.word != "KEEP_WATCHING" or end.progress.calls >= ENOUGH_CALLS):
            mark = Text(f"✘ not {VERDICTS[part.verdict]}", style="bold red")
        agrees = rate_with_interval(trial.summary.get("agreement", {}))
        table.add_row(Text(part.shadow, style="bold"), part.is_what, agrees, verdict_text(trial), mark)
    return table


def _reason(part: Part, trial: Trial) -> Text:
    still_open = f"Not enough has been seen yet; still open: {', '.join(trial.named('open'))}."
    shown_to_fail = f"Shown to fail: {', '.join(trial.named('fails'))}."
    other = still_open if trial.word == "KEEP_WATCHING" else shown_to_fail
    why = part.why if trial.word == part.verdict else other
    return Text.assemble((f"{part.shadow}: ", "bold"), why)


def _books(end: End) -> Table:
    table = Table(
        title="\nThe books",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("shadow", "captured requests = what became of them", "judged", ""):
        table.add_column(name)
    for part in CAST:
        trial = end.trials[part.shadow]
        closed = trial.settled_at(end.requests)
        tick = Text("✔", style="green") if closed else Text("✘", style="bold red")
        judged = f"{trial.summary.get('labels', 0):,}"
        table.add_row(Text(part.shadow, style="bold"), _equation(end.requests, trial.books), judged, tick)
    return table


def _equation(requests: int, books: Mapping[str, Any]) -> str:
    side = books.get("requests", {})
    became = [f"{count:,} {_PAST.get(status, status)}" for status, count in side.get("compared", {}).items()]
    rest = [f"{side.get(name, 0):,} {name.replace('_', '-')}" for name in ("duplicates", "dead_lettered", "waiting")]
    return f"{requests:,} = {' + '.join(became + rest)}"


def _latencies(pairs: PairedLatency) -> Table:
    table = Table(
        title="\nWhat the tap costs",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column(f"{pairs.pairs} paired calls, ms")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for name, side in (("production, with the tap", pairs.tapped), ("its twin, without", pairs.plain)):
        table.add_row(name, *_numbers(side))
    return table


def _numbers(side: Percentiles) -> list[str]:
    return [milliseconds(value) for value in (side.p50, side.p95, side.p99)]


def _cost(pairs: PairedLatency) -> Text:
    median, low, high = (f"{value:+.3f}" for value in (pairs.median_ms, pairs.low_ms, pairs.high_ms))
    return Text.assemble(("Median difference ", ""), (f"{median} ms", "bold"), f" (95 % interval {low} to {high}).")


def _tap(end: End) -> Text:
    lost = int(end.tap.get("lost", 0)) + end.progress.labels_lost
    style = "green" if lost == 0 else "bold red"
    captured = int(end.tap.get("captured", 0)) + end.progress.labels
    errors = end.progress.errors
    return Text.assemble(
        f"\nThe tap captured {captured:,} records and ",
        (f"dropped {lost}", style),
        f". Production answered {end.progress.calls - errors:,} calls with ",
        (f"{errors} errors", "green" if errors == 0 else "bold red"),
        ".",
    )
