"""The live screen: production on top, then each shadow, then how each verdict narrows down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shadowbus.demo.evidence import Trial
from shadowbus.demo.figures import MISSING, gauge, milliseconds, minutes, points, rate_with_interval, share
from shadowbus.demo.progress import Progress
from shadowbus.demo.scenario import CAST, CHAMPION, VERDICTS, Part

STYLES = {"PROMOTE": "bold green", "SEND_BACK": "bold red", "KEEP_WATCHING": "yellow"}
STATE_STYLES = {"holds": "green", "fails": "red", "open": "yellow"}
ACCURACY_SCALE = (-0.20, 0.10)
FAILURE_SCALE = (0.0, 0.02)
OTHER_COLUMNS = 54
WIDEST = 118
LEGEND = "● seen  ━ still possible  ┃ limit   accuracy: shadow minus live, in points"


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment of the demo."""

    elapsed_s: float
    doing: str
    page: str
    progress: Progress
    tap: Mapping[str, Any]
    trials: Mapping[str, Trial]


def draw(frame: Frame, width: int) -> RenderableType:
    """The whole screen, for a terminal of so many columns."""
    columns = min(width, WIDEST)
    title = Text.assemble(("shadowbus demo ", "bold"), (f"{minutes(frame.elapsed_s)}  ", "cyan"), frame.doing)
    title.append(f"   live page: {frame.page}", style="bold cyan")
    narrowing = _narrowing(frame.trials, max(10, columns - OTHER_COLUMNS))
    legend = Text(f" {LEGEND}", style="dim")
    return Group(title, _production(frame, columns), _shadows(frame.trials), narrowing, legend)


def line(frame: Frame) -> str:
    """The same in one line, where there is no terminal."""
    progress = frame.progress
    parts = [f"{minutes(frame.elapsed_s)} {frame.doing}: {progress.calls:,} calls, {progress.errors} errors"]
    for part in CAST:
        trial = frame.trials[part.shadow]
        seen = f"accuracy {points(trial.criterion('accuracy').get('value'))}, failures {_failures(trial)}"
        parts.append(f"{part.shadow} {VERDICTS[trial.word]} ({seen})")
    return " | ".join(parts)


def verdict_text(trial: Trial) -> Text:
    """The verdict, and when it came."""
    text = Text(VERDICTS[trial.word], style=STYLES[trial.word])
    if trial.word != "KEEP_WATCHING" and trial.decided_s is not None:
        text.append(f" at {minutes(trial.decided_s)}", style="not bold dim")
    return text


def _production(frame: Frame, width: int) -> Panel:
    progress, tap = frame.progress, frame.tap
    latency = progress.latency
    errors = Text(f"{progress.errors} errors", style="green" if progress.errors == 0 else "bold red")
    named = {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99}
    timed = "  ".join(f"{name} {milliseconds(value or None)}" for name, value in named.items()) + " ms"
    first = Text.assemble(f"{progress.rate:.0f}/s   {progress.calls:,} calls   ", errors, "   ", timed)
    lost = int(tap.get("lost", 0)) + progress.labels_lost
    dropped = Text(f"{lost} dropped", style="green" if lost == 0 else "bold red")
    labels = f"labels: {progress.labels:,} sent, {progress.labels_waiting} to come"
    second = Text.assemble(f"tap: {tap.get('captured', 0):,} records captured, ", dropped, f"   {labels}")
    title = f"production: {CHAMPION}"
    return Panel(Group(first, second), title=title, title_align="left", width=width, border_style="cyan")


def _shadows(trials: Mapping[str, Trial]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("shadow", style="bold")
    table.add_column("requests", justify="right")
    table.add_column("agrees with live")
    table.add_column("right alone", justify="right")
    table.add_column("p50 / p95 ms", justify="right")
    table.add_column("books")
    table.add_row(Text("live", style="cyan"), "", "", Text("shadow : live", style="dim"), _live_latency(trials), "")
    for part in CAST:
        summary = trials[part.shadow].summary
        right = summary.get("right", {})
        table.add_row(
            part.shadow,
            f"{summary.get('requests', 0):,}",
            rate_with_interval(summary.get("agreement", {})),
            f"{right.get('shadow_only', 0)} : {right.get('live_only', 0)}",
            _latency(summary.get("shadow_latency_ms", {})),
            _books(trials[part.shadow]),
        )
    return table


def _narrowing(trials: Mapping[str, Trial], width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("shadow", style="bold")
    table.add_column("criterion")
    table.add_column("what is still possible", width=width)
    table.add_column("verdict", min_width=25)
    for part in CAST:
        trial = trials[part.shadow]
        accuracy, failures = trial.criterion("accuracy"), trial.criterion("error_rate")
        seen = f"accuracy {points(accuracy.get('value'))}\nfailures {_failures(trial)}"
        pictures = Text("\n").join(
            [
                gauge(accuracy, ACCURACY_SCALE, width, STATE_STYLES.get(str(accuracy.get("state")), "")),
                gauge(failures, FAILURE_SCALE, width, STATE_STYLES.get(str(failures.get("state")), "")),
            ]
        )
        table.add_row(part.shadow, seen, pictures, Text("\n").join([verdict_text(trial), _because(part, trial)]))
    return table


def _because(part: Part, trial: Trial) -> Text:
    """What decided, or what is missing."""
    failed = trial.named("fails")
    if failed:
        names = ", ".join(dict.fromkeys(name.partition(":")[0] for name in failed))
        return Text(f"shown to fail: {names}", style="dim")
    if trial.word == "PROMOTE":
        return Text("the noise floor" if part.shadow == "control" else "all shown to hold", style="dim")
    needed = trial.verdict.needed if trial.verdict else {}
    missing = max(
        (amount for amount in (needed.get("requests"), needed.get("labels")) if isinstance(amount, int)), default=0
    )
    return Text(f"about {missing:,} calls to go" if missing else "", style="dim")


def _failures(trial: Trial) -> str:
    return share(trial.criterion("error_rate").get("value"), 2)


def _latency(latency: Mapping[str, Any]) -> str:
    return f"{milliseconds(latency.get('p50'))} / {milliseconds(latency.get('p95'))}" if latency else MISSING


def _live_latency(trials: Mapping[str, Trial]) -> str:
    control = trials["control"].summary
    return _latency(control.get("live_latency_ms", {}))


def _books(trial: Trial) -> Text:
    if not trial.books:
        return Text(MISSING)
    if not trial.books["closes"]:
        return Text(f"gap of {trial.books['gap']}", style="bold red")
    return Text("close", style="green")
