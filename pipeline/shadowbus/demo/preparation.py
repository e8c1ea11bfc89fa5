"""Everything that has to run before the first customer calls: models, Kafka, topics, workers, services.

In: a folder. Out: a `Company` that is ready. Whatever is opened on the way is closed by the caller's exit stack.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.broker.folder import free_ports
from shadowbus.cli.run.up import commands
from shadowbus.clock import monotonic
from shadowbus.demo.actors import Actors, Stage, page_at
from shadowbus.demo.joined import Joined
from shadowbus.demo.models import train
from shadowbus.demo.patience import Patience
from shadowbus.demo.scenario import write_settings
from shadowbus.demo.steps import Steps
from shadowbus.kafka.topics import create_topics
from shadowbus.processes.supervisor import Supervisor
from shadowbus.settings import Settings, load_settings

TRAIN_S, KAFKA_S, TOPICS_S, JOIN_S, SERVE_S = 120.0, 700.0, 60.0, 120.0, 60.0


@dataclass(frozen=True, slots=True)
class Company:
    """All that runs when the preparations are done."""

    kafka: EmbeddedKafka
    settings: Settings
    supervisor: Supervisor
    actors: Actors


def prepare(console: Console, patience: Patience, folder: Path, opened: contextlib.ExitStack) -> Company:
    """Start everything, and wait until all of it is ready.

    Raises:
        Interrupted: The end was asked for.
        ShadowbusError: Something could not be started, or not in time.
    """
    started = monotonic()
    steps, kafka = Steps(console), EmbeddedKafka()
    (page_port,) = free_ports(1)
    console.print(f"  The live page: [bold cyan]{page_at(page_port)}[/] (as soon as all is ready, and until the end)\n")
    starting = patience.beside(kafka.start, "start kafka")
    opened.callback(lambda: kafka.stop() if starting.done() else None)  # else its watchdog ends it, with this process
    with steps.step("Training four models"):
        models = patience.result(patience.beside(lambda: train(folder / "models"), "train"), TRAIN_S, "the models")
    with steps.step("Starting a Kafka of its own (the first time, it is downloaded)"):
        patience.result(starting, KAFKA_S, "Kafka to start")
    write_settings(folder / "shadow.toml", kafka.bootstrap, models)
    settings = load_settings(folder / "shadow.toml")
    with steps.step(f"Creating the topics of the namespace {settings.namespace}"):
        patience.result(patience.beside(lambda: create_topics(settings), "topics"), TOPICS_S, "the topics")
    supervisor = _workers(settings, folder, opened)
    actors = _actors(Stage(folder, settings.source, models.bundles["champion"].folder, page_port), opened)
    with steps.step(
        f"Starting {len(supervisor.states())} workers: replay for each shadow, judge, aggregate, decide, agents"
    ):
        patience.until(Joined(settings, patience), JOIN_S, "every worker to join its group")
    with steps.step("Starting production, its twin without the tap, and the live page"):
        patience.until(actors.serving, SERVE_S, "the services and the page to answer")
    console.print(f"  Ready after {monotonic() - started:.0f} s.\n")
    return Company(kafka, settings, supervisor, actors)


def _workers(settings: Settings, folder: Path, opened: contextlib.ExitStack) -> Supervisor:
    """Start the workers, those that take longest first."""
    log = opened.enter_context((folder / "workers.log").open("a", encoding="utf-8"))
    slowest_first = sorted(commands(settings, 1), key=lambda command: not command.name.startswith("agents"))
    supervisor = Supervisor(settings.source, slowest_first, say=lambda name, said: _note(log, name, said))
    return opened.enter_context(supervisor)


def _actors(stage: Stage, opened: contextlib.ExitStack) -> Actors:
    actors = Actors(stage)
    opened.callback(actors.close)
    actors.start_services()
    return actors


def _note(log: TextIO, name: str, said: str) -> None:
    if not log.closed:
        log.write(f"{name} | {said}\n")
        log.flush()
