"""`shadowbus replay | judge | aggregate | agents`: one worker of one stage, until SIGTERM or Ctrl-C.

Each stage is imported inside its verb: one that is not asked for costs no start-up time.
"""

from typing import Annotated

import typer

from shadowbus.cli import logs
from shadowbus.cli.options import options_of
from shadowbus.cli.stopping import stop_on_signals
from shadowbus.settings import Settings

WorkerId = Annotated[
    str, typer.Option(metavar="ID", help="A stable name: a restart under it takes over at once.", show_default=False)
]


def replay(
    context: typer.Context,
    shadow: Annotated[str, typer.Option(metavar="NAME", help="The shadow to ask.", show_default=False)],
    worker_id: WorkerId = "",
) -> None:
    """Ask one shadow what production was asked, and join the two answers."""
    settings = _begin(context, worker_id or f"replay-{shadow}")
    settings.shadow_named(shadow)
    from shadowbus.replay.worker import run_replay

    with stop_on_signals() as stop:
        run_replay(settings, shadow, stop, worker_id)


def judge(context: typer.Context, worker_id: WorkerId = "") -> None:
    """Meet each comparison with its label."""
    settings = _begin(context, worker_id or "judge")
    from shadowbus.judge.worker import run_judge

    with stop_on_signals() as stop:
        run_judge(settings, stop, worker_id)


def aggregate(context: typer.Context, worker_id: WorkerId = "") -> None:
    """Fold comparisons, outcomes and vitals into running totals."""
    settings = _begin(context, worker_id or "aggregate")
    from shadowbus.aggregate.worker import run_aggregate

    with stop_on_signals() as stop:
        run_aggregate(settings, stop, worker_id)


def agents(context: typer.Context, worker_id: WorkerId = "") -> None:
    """Merge the totals of all partitions, and decide."""
    settings = _begin(context, worker_id or "agents")
    from shadowbus.aggregate.agents import run_agents

    with stop_on_signals() as stop:
        run_agents(settings, stop, worker_id)


def _begin(context: typer.Context, stage: str) -> Settings:
    options = options_of(context)
    logs.set_up(stage, options.debug)
    return options.settings()
