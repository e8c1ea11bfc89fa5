"""`shadowbus up`: every stage on this machine, kept alive, until SIGTERM or Ctrl-C."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated

import typer

from shadowbus.cli.console import tell
from shadowbus.cli.options import Options, options_of
from shadowbus.cli.run.alone import alone
from shadowbus.cli.run.workers import MetricsPort
from shadowbus.errors import BrokerError, SettingsError
from shadowbus.processes.signals import stop_on_signals
from shadowbus.processes.supervisor import Command, Supervisor
from shadowbus.settings import MAX_PORT, Settings

TOPICS_S = 2.0
"""How often to look for topics that went missing."""

GONE_LOOKS = 5
"""So many looks in a row must miss a topic before it is created again: every worker has noticed by then, and its last
try to commit (`TRY_SECONDS`) is over. One that went through would say of the new topic what was true of the old one."""


def up(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, help="How many processes share the work of each stage.")] = 1,
    metrics_port: MetricsPort = None,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Also recreate topics that go missing while it runs.")
    ] = False,
) -> None:
    """Create missing topics and run all stages, restarting any that exit; Ctrl-C stops them in order."""
    options = options_of(context)
    settings = options.settings()
    if not settings.shadow:
        raise SettingsError(f"{settings.source} has no [[shadow]], so there is nothing to run.")
    with alone(settings):
        _run(options, settings, workers, metrics_port, create_topics=create_topics)


def _run(options: Options, settings: Settings, workers: int, metrics_port: int | None, *, create_topics: bool) -> None:
    _create_topics(settings)
    port = settings.metrics.port if metrics_port is None else metrics_port
    running = tuple(with_ports(commands(settings, workers, options.debug), port))
    everything = (*running, *beside(settings, options.debug))
    supervisor = Supervisor(options.config.absolute(), everything, say=_say)
    with stop_on_signals() as stop, supervisor:
        names = ", ".join(state.name for state in supervisor.states())
        tell(f"Running {names}. Ctrl-C ends them all.")
        for number, command in enumerate(running if port else ()):
            tell(f"metrics of {command.name}: http://{settings.metrics.host}:{port + number}/metrics")
        missed: Counter[str] = Counter()
        while not stop.wait(TOPICS_S if create_topics else None):
            missed = _create_topics_again(settings, missed)
        tell("Ending them all.")


def _create_topics(settings: Settings, only: Collection[str] | None = None) -> None:
    from shadowbus.kafka.topics import create_topics

    for name in create_topics(settings, only):
        tell(f"created {name}")


def _create_topics_again(settings: Settings, missed: Counter[str]) -> Counter[str]:
    """Create what has been missing for long enough.

    Where Kafka is away, or refuses: the workers say so, and the next look is soon.

    Args:
        settings: Which topics there have to be.
        missed: How many looks in a row have missed each topic.

    Returns:
        The same, with this look.
    """
    from shadowbus.kafka.topics import missing_topics

    with contextlib.suppress(BrokerError):
        missed = Counter({name: missed[name] + 1 for name in missing_topics(settings)})
        if gone := [name for name, looks in missed.items() if looks >= GONE_LOOKS]:
            _create_topics(settings, gone)
    return missed


def commands(settings: Settings, workers: int, debug: bool = False) -> Iterator[Command]:
    """What to run, in the order of the flow.

    >>> from shadowbus.settings import ShadowSettings
    >>> [command.name for command in commands(Settings("churn", shadow=(ShadowSettings("new", "models/4"),)), 1)]
    ['replay-new-0', 'judge-0', 'aggregate-0', 'decide-0', 'agents-0']
    """
    flags = ("--debug",) if debug else ()
    if settings.rekey.sources:
        for number in range(workers):
            yield Command(f"rekey-{number}", (*flags, "rekey", "--worker-id", f"rekey-{number}"))
    for shadow in settings.shadow:
        for number in range(workers):
            name = f"replay-{shadow.name}-{number}"
            yield Command(name, (*flags, "replay", "--shadow", shadow.name, "--worker-id", name))
    for stage in ("judge", "aggregate", "decide", "agents"):
        for number in range(workers):
            yield Command(f"{stage}-{number}", (*flags, stage, "--worker-id", f"{stage}-{number}"))


def beside(settings: Settings, debug: bool = False) -> Iterator[Command]:
    """What runs beside the stages, where the settings ask for it."""
    if settings.notify:
        yield Command("notify", (*(("--debug",) if debug else ()), "notify", "--worker-id", "notify"))


def with_ports(running: Iterator[Command], first: int) -> Iterator[Command]:
    """The same with a port for the metrics of each: the first one and those that follow, or none where that is 0.

    Raises:
        SettingsError: There are not enough ports.
    """
    for number, command in enumerate(running):
        port = first + number if first else 0
        if port > MAX_PORT:
            raise SettingsError(f"Metrics from port {first} on need more ports than there are: begin lower.")
        yield dataclasses.replace(command, arguments=(*command.arguments, "--metrics-port", str(port)))


def _say(name: str, line: str) -> None:
    tell(f"{name} | {line}")
