"""`shadowbus replay | judge | aggregate | decide | agents`: one worker of one stage, until SIGTERM or Ctrl-C.

Each stage is imported inside its verb: one that is not asked for costs no start-up time.
"""

import dataclasses
from typing import Annotated

import typer

from shadowbus.cli import logs
from shadowbus.cli.options import NamedShadow, Shadow, options_of, which_shadow
from shadowbus.processes.signals import stop_on_signals
from shadowbus.settings import MAX_PORT, Settings

WorkerId = Annotated[
    str, typer.Option(metavar="ID", help="A stable name: a restart under it resumes at once.", show_default=False)
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0, max=MAX_PORT, metavar="PORT", help="Where to serve /metrics; 0: nowhere.", show_default="the settings'"
    ),
]


def replay(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    worker_id: WorkerId = "",
    metrics_port: MetricsPort = None,
) -> None:
    """Run one shadow on production's requests and join its predictions with production's."""
    shadow = which_shadow(named, shadow)
    settings = begin(context, worker_id or f"replay-{shadow}", metrics_port)
    settings.shadow_named(shadow)
    from shadowbus.replay.worker import run_replay

    with stop_on_signals() as stop:
        run_replay(settings, shadow, stop, worker_id)


def judge(context: typer.Context, worker_id: WorkerId = "", metrics_port: MetricsPort = None) -> None:
    """Join comparisons with their labels."""
    settings = begin(context, worker_id or "judge", metrics_port)
    from shadowbus.judge.worker import run_judge

    with stop_on_signals() as stop:
        run_judge(settings, stop, worker_id)


def aggregate(context: typer.Context, worker_id: WorkerId = "", metrics_port: MetricsPort = None) -> None:
    """Fold comparisons, outcomes and vitals into running totals."""
    settings = begin(context, worker_id or "aggregate", metrics_port)
    from shadowbus.aggregate.worker import run_aggregate

    with stop_on_signals() as stop:
        run_aggregate(settings, stop, worker_id)


def decide(context: typer.Context, worker_id: WorkerId = "", metrics_port: MetricsPort = None) -> None:
    """Decide on each trial: PROMOTE, SEND BACK or KEEP WATCHING."""
    settings = begin(context, worker_id or "decide", metrics_port)
    from shadowbus.decide.worker import run_decide

    with stop_on_signals() as stop:
        run_decide(settings, stop, worker_id)


def agents(context: typer.Context, worker_id: WorkerId = "", metrics_port: MetricsPort = None) -> None:
    """Merge the totals of all partitions into aggregates, for people and dashboards."""
    settings = begin(context, worker_id or "agents", metrics_port)
    from shadowbus.agents.agents import run_agents

    with stop_on_signals() as stop:
        run_agents(settings, stop, worker_id)


def begin(context: typer.Context, name: str, metrics_port: int | None) -> Settings:
    """Log under the worker's name; the settings, with the port it was given.

    Raises:
        BrokerError: A right on a topic is missing.
    """
    options = options_of(context)
    logs.set_up(name, options.debug, options.quiet)
    settings = options.settings()
    from shadowbus.kafka.permissions import check_start

    check_start(settings, options.words)
    if metrics_port is None:
        return settings
    return dataclasses.replace(settings, metrics=dataclasses.replace(settings.metrics, port=metrics_port))
