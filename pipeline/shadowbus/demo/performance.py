"""The demo from the first preparation to the last table."""

import contextlib
from pathlib import Path

from rich.console import Console

from shadowbus.clock import monotonic
from shadowbus.demo import summary
from shadowbus.demo.evidence import Evidence
from shadowbus.demo.patience import Patience
from shadowbus.demo.play import Play
from shadowbus.demo.preparation import Company, prepare

WATCH_S = 1.0


def perform(
    console: Console,
    patience: Patience,
    folder: Path,
    opened: contextlib.ExitStack,
    *,
    seconds: float,
    rate: float,
    keep: bool,
) -> int:
    """Prepare, make traffic, watch, tell the end.

    Args:
        console: Where to tell.
        patience: How to wait.
        folder: For all files.
        opened: Closes what is opened here.
        seconds: How long traffic is made for.
        rate: Requests per second, on average.
        keep: Stay at the end.

    Returns:
        0 if all is as promised, 1 if not.

    Raises:
        Interrupted: The end was asked for.
        ShadowbusError: Something could not be started, or ended by itself.
    """
    company = prepare(console, patience, folder, opened)
    began = monotonic()
    evidence = Evidence(company.settings, lambda: monotonic() - began)
    opened.callback(evidence.close)
    company.actors.start_traffic(seconds, rate)
    end = Play(console, patience, company.actors, evidence, began).watch(seconds)
    summary.show(console, end)
    problems = list(end.problems())
    if keep:
        _stay(console, patience, company)
    summary.show_next(console)
    return 1 if problems else 0


def _stay(console: Console, patience: Patience, company: Company) -> None:
    actors = company.actors
    summary.show_addresses(console, company.settings, actors.address("production"), actors.page)
    while True:
        patience.pause(WATCH_S)
        company.kafka.check()
