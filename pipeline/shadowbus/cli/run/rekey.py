"""`shadowbus rekey`: one worker of the re-keying stage, until SIGTERM or Ctrl-C."""

import typer

from shadowbus.cli.run.workers import MetricsPort, WorkerId, begin
from shadowbus.processes.signals import stop_on_signals


def rekey(context: typer.Context, worker_id: WorkerId = "", metrics_port: MetricsPort = None) -> None:
    """Move the records of the topics in [rekey] to where their request id belongs."""
    settings = begin(context, worker_id or "rekey", metrics_port)
    from shadowbus.rekey.worker import run_rekey

    with stop_on_signals() as stop:
        run_rekey(settings, stop, worker_id)
