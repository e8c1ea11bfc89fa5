"""`shadowbus notify`: tell people when a verdict changes, until SIGTERM or Ctrl-C."""

from typing import Annotated

import typer

from shadowbus.cli import logs
from shadowbus.cli.console import emit
from shadowbus.cli.options import options_of
from shadowbus.cli.run.workers import WorkerId
from shadowbus.clock import now_ms
from shadowbus.errors import SettingsError, ShadowbusError
from shadowbus.processes.signals import stop_on_signals
from shadowbus.settings import Settings


def notify(
    context: typer.Context,
    worker_id: WorkerId = "",
    test: Annotated[bool, typer.Option("--test", help="Post one sample change to each receiver, and exit.")] = False,
) -> None:
    """Notify the receivers in [[notify]] when a verdict changes."""
    options = options_of(context)
    logs.set_up(worker_id or "notify", options.debug, options.quiet)
    settings = options.settings()
    if not settings.notify:
        raise SettingsError(f"{settings.source} has no [[notify]], so there is nobody to tell.")
    if test:
        _try_out(settings)
        return
    from shadowbus.kafka.permissions import check_start
    from shadowbus.notify.worker import run_notify

    check_start(settings, options.words)

    with stop_on_signals() as stop:
        run_notify(settings, stop, worker_id)


def _try_out(settings: Settings) -> None:
    from shadowbus.notify.due import UNTOLD, Change
    from shadowbus.notify.worker import send
    from shadowbus.records import Verdict
    from shadowbus.webhook.post import Taken

    verdict = Verdict("test@1~test@2", "PROMOTE", [], requests=0, labels=0, needed={}, decided_ms=now_ms())
    failed = []
    for receiver in settings.notify:
        message_id = f"test-{verdict.decided_ms}"
        answer = send(Change(receiver, verdict, UNTOLD, 1), message_id, verdict.decided_ms // 1000)
        if isinstance(answer, Taken):
            emit(f"{receiver.name}: taken ({answer.status})")
        else:
            failed.append(f"{receiver.name}: {answer.reason}.")
    if failed:
        raise ShadowbusError(" ".join(failed))
