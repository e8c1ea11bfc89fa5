"""`shadowbus rekey`: one worker of the re-keying stage, until SIGTERM or Ctrl-C."""

import typer

from shadowbus.cli import logs
from shadowbus.cli.options import options_of
from shadowbus.cli.stopping import stop_on_signals
from shadowbus.cli.workers import WorkerId


def rekey(context: typer.Context, worker_id: WorkerId = "") -> None:
    """Move the records of the topics in [rekey] to where their request id belongs."""
    options = options_of(context)
    logs.set_up(worker_id or "rekey", options.debug)
    settings = options.settings()
    from shadowbus.rekey.worker import run_rekey

    with stop_on_signals() as stop:
        run_rekey(settings, stop, worker_id)
