"""The demo, from nothing to four verdicts: `shadowbus demo`.

In: how long, and how many requests a second. Out: an exit code: 0 if the books of all four trials close, production
had no errors and the verdicts are as expected (or honestly still open, after little traffic); 1 if not, with the
reason; 130 after Ctrl-C. Guaranteed: whatever happens, to this process too, nothing that was started stays, nor a file.
"""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live

from shadowbus.cli.overview import group_name
from shadowbus.cli.stopping import stop_on_signals
from shadowbus.cli.up import commands
from shadowbus.clock import Deadline, monotonic
from shadowbus.demo import summary
from shadowbus.demo.actors import Actors, Stage
from shadowbus.demo.evidence import Evidence
from shadowbus.demo.models import TrainedModels, train
from shadowbus.demo.patience import Interrupted, Patience, TooLateError
from shadowbus.demo.scenario import CAST, write_settings
from shadowbus.demo.screen import Frame, draw, line
from shadowbus.demo.steps import Steps
from shadowbus.errors import ShadowbusError
from shadowbus.kafka.embedded import EmbeddedKafka
from shadowbus.kafka.groups import group_states
from shadowbus.kafka.topics import create_topics
from shadowbus.settings import Settings, load_settings
from shadowbus.supervisor import Supervisor
from shadowbus.topology import STAGES

INTRODUCTION = (
    "You are about to see a small production service that reads handwritten digits, and in its shadow four models that "
    "are asked the same: a better one, a worse one, one that crashes, and the champion itself. No customer ever sees "
    "their answers; within a minute each of them gets a verdict, and in the end every request is accounted for.\n"
)

TRAIN_S, KAFKA_S, JOIN_S, SERVE_S, DRAIN_S = 120.0, 700.0, 90.0, 30.0, 60.0
FRAME_S = 0.25
TAP_S = 1.0
LINE_S = 5.0
INTERRUPTED = 130

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


def run_demo(*, seconds: float = 90, rate: float = 60, keep: bool = False) -> int:
    """Run the demo. Runs in the main thread, whose signal handlers it borrows.

    Args:
        seconds: How long traffic is made for.
        rate: Requests per second, on average.
        keep: Leave everything running at the end, until Ctrl-C.

    Returns:
        The exit code.
    """
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 118)
    console.print(INTRODUCTION)
    folder = Path(tempfile.mkdtemp(prefix="shadowbus-demo-"))
    try:
        with stop_on_signals() as stop, _quietly(folder), contextlib.ExitStack() as opened:
            demo = _Demo(console, Patience(stop), folder, opened)
            try:
                demo.prepare()
                return demo.play(seconds, rate, keep=keep)
            except Interrupted:
                console.print("\nStopping everything; a second Ctrl-C does not wait for it.")
                return INTERRUPTED
            except ShadowbusError as error:
                console.print(f"\n[bold red]The demo failed:[/] {error}\n{demo.fallen()}")
                return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Company:
    """All that runs once the preparations are done."""

    kafka: EmbeddedKafka
    settings: Settings
    supervisor: Supervisor
    actors: Actors


class _Demo:
    """One demo. What it opens is closed by `opened`, in the reverse order."""

    def __init__(self, console: Console, patience: Patience, folder: Path, opened: contextlib.ExitStack) -> None:
        self._console = console
        self._patience = patience
        self._folder = folder
        self._opened = opened
        self._steps = Steps(console)
        self._company: _Company | None = None

    def prepare(self) -> None:
        """Train the models, start Kafka, every stage and the services, and wait until all of it is ready."""
        started = monotonic()
        steps, patience = self._steps, self._patience
        kafka = EmbeddedKafka()
        starting = patience.beside(lambda: self._start(kafka), "start kafka")
        with steps.step("Training four models"):
            models = patience.result(patience.beside(self._train, "train"), TRAIN_S, "the models to be trained")
        with steps.step("Starting a Kafka of its own (the first time, it is downloaded)"):
            patience.result(starting, KAFKA_S, "Kafka to start")
        path = self._folder / "shadow.toml"
        write_settings(path, kafka.bootstrap, models)
        settings = load_settings(path)
        with steps.step(f"Creating the topics of the namespace {settings.namespace}"):
            patience.result(patience.beside(lambda: create_topics(settings), "topics"), JOIN_S, "the topics")
        supervisor, actors = self._hire(settings, models)
        self._company = _Company(kafka, settings, supervisor, actors)
        with steps.step(
            f"Starting {len(supervisor.states())} workers: replay for each shadow, judge, aggregate, agents"
        ):
            patience.until(_Joined(settings, patience), JOIN_S, "every worker to join its group")
        with steps.step("Starting production, and its twin without the tap"):
            patience.until(actors.serving, SERVE_S, "the services to answer")
        self._console.print(f"  Ready after {monotonic() - started:.0f} s.\n")

    def play(self, seconds: float, rate: float, *, keep: bool) -> int:
        """Make traffic, watch, wait until all is accounted for, tell the end."""
        company = self._company
        assert company is not None  # noqa: S101
        began = monotonic()
        evidence = Evidence(company.settings, lambda: monotonic() - began)
        self._opened.callback(evidence.close)
        company.actors.start_traffic(seconds, rate)
        end = _Play(self._console, self._patience, company.actors, evidence, began).watch(seconds)
        summary.show(self._console, end)
        problems = list(end.problems())
        for problem in problems:
            self._console.print(f"[bold red]✘[/] {problem}")
        if not problems:
            self._console.print("[bold green]✔ The books of all four trials close.[/]")
        summary.show_next(self._console)
        if keep:
            self._stay(company)
        return 1 if problems else 0

    def fallen(self) -> str:
        """Who ended and should not have, in words."""
        return self._company.actors.fallen() if self._company else ""

    def _start(self, kafka: EmbeddedKafka) -> None:
        kafka.start()
        self._opened.callback(kafka.stop)

    def _train(self) -> TrainedModels:
        return train(self._folder / "models")

    def _hire(self, settings: Settings, models: TrainedModels) -> tuple[Supervisor, Actors]:
        """Start the workers, the slowest to start first, and the services."""
        log = (self._folder / "workers.log").open("a", encoding="utf-8")
        self._opened.callback(log.close)
        slowest_first = sorted(commands(settings, 1), key=lambda command: not command.name.startswith("agents"))
        supervisor = Supervisor(settings.source, slowest_first, say=lambda name, said: _note(log, name, said))
        self._opened.enter_context(supervisor)
        actors = Actors(Stage(self._folder, settings.source, models.bundles["champion"].folder))
        self._opened.callback(actors.close)
        actors.start_services()
        return supervisor, actors

    def _stay(self, company: _Company) -> None:
        summary.show_addresses(self._console, company.settings, company.actors.address("production"))
        while True:
            self._patience.pause(1.0)
            company.kafka.check()


class _Joined:
    """Whether every stage has joined its consumer group; asked beside, for Kafka may take its time to answer."""

    def __init__(self, settings: Settings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        self._groups: dict[str, list[str]] = {}
        for stage in STAGES:
            if stage.reads:
                for shadow in [one.name for one in settings.shadow] if stage.per_shadow else [""]:
                    topics = [f"{settings.namespace}.{name}" for name in stage.reads]
                    self._groups[group_name(stage, settings.namespace, shadow)] = topics
        self._asked = patience.beside(self._all_stable, "groups")

    def __call__(self) -> bool:
        if not self._asked.done():
            return False
        if self._asked.result():
            return True
        self._asked = self._patience.beside(self._all_stable, "groups")
        return False

    def _all_stable(self) -> bool:
        states, _ = group_states(self._settings, self._groups, Deadline.after(JOIN_S))
        return all(state.members and state.state == "STABLE" for state in states.values())


class _Play:
    """The demo while it runs: looks, shows, and knows when all is accounted for."""

    def __init__(self, console: Console, patience: Patience, actors: Actors, evidence: Evidence, began: float) -> None:
        self._console = console
        self._patience = patience
        self._actors = actors
        self._evidence = evidence
        self._began = began
        self._twin_runs = True
        self._tap: Mapping[str, Any] = {}
        self._tap_at = 0.0

    def watch(self, seconds: float) -> summary.End:
        """Show how it goes until all is accounted for, or too late."""
        with self._shown() as show:
            while self._actors.progress().phase != "done":
                self._look(show, seconds)
            deadline = Deadline.after(DRAIN_S)
            while not self._drained() and not deadline.passed:
                self._look(show, seconds)
            self._look(show, seconds)
        return self._end()

    def _look(self, show: Callable[[Frame], None], seconds: float) -> None:
        if fallen := self._actors.fallen():
            raise TooLateError(fallen)
        progress = self._actors.progress()
        if self._twin_runs and progress.phase in ("traffic", "labels", "done"):
            self._actors.end("twin")
            self._twin_runs = False
        doing = {
            "starting": "customers are on their way",
            "pairs": "measuring what the tap costs, in paired calls",
            "traffic": f"customers call for {seconds:.0f} s",
            "labels": "the last labels are on their way",
            "done": "waiting until every request is accounted for",
        }.get(progress.phase, progress.phase)
        trials = {part.shadow: self._evidence.trial(part.trial) for part in CAST}
        now = monotonic()
        if now - self._tap_at >= TAP_S:
            self._tap, self._tap_at = self._actors.tap(), now
        show(Frame(now - self._began, doing, progress, self._tap, trials))
        self._patience.pause(FRAME_S)

    def _drained(self) -> bool:
        requests = int(self._actors.tap().get("requests", 0))
        return all(self._evidence.trial(part.trial).settled_at(requests) for part in CAST)

    def _end(self) -> summary.End:
        trials = {part.shadow: self._evidence.trial(part.trial) for part in CAST}
        return summary.End(self._actors.progress(), self._actors.tap(), trials)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Callable[[Frame], None]]:
        """A function that shows a frame: on a live screen, or every few seconds as a line."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
                yield lambda frame: live.update(draw(frame, self._console.width), refresh=True)
            return
        shown_at = [-LINE_S]

        def tell(frame: Frame) -> None:
            if frame.elapsed_s - shown_at[0] >= LINE_S:
                shown_at[0] = frame.elapsed_s
                self._console.print(line(frame), soft_wrap=True)

        yield tell


def _note(log: TextIO, name: str, said: str) -> None:
    if not log.closed:
        log.write(f"{name} | {said}\n")
        log.flush()


@contextlib.contextmanager
def _quietly(folder: Path) -> Iterator[None]:
    """Logs go to a file beside the screen, and numerical libraries of all children keep to one thread."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [logging.FileHandler(folder / "demo.log")]
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        root.handlers[0].close()
        root.handlers = handlers
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
