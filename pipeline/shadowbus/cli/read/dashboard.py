"""`shadowbus dashboard`: the live page."""

import re
import secrets
import sys
from typing import Annotated

import typer

from shadowbus.cli.console import tell
from shadowbus.cli.options import options_of, settings_of
from shadowbus.processes.signals import stop_on_signals

TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")


def dashboard(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 picks a free one.")] = 8088,
    token: Annotated[
        str,
        typer.Option(
            envvar="SHADOWBUS_DASHBOARD_TOKEN",
            metavar="TEXT",
            help="Access token; generated and printed if --host is not local and none is given.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Serve the live page, until Ctrl-C. Prints its address when it answers."""
    if token and not TOKEN.fullmatch(token):
        raise typer.BadParameter(
            "A token has 16 to 256 letters, digits, '.', '_', '~' or '-'. Leave it out, and one is made up and printed."
        )
    settings = settings_of(context)
    from shadowbus.dashboard.serve import local, serve

    if not local(host) and not token:
        token = secrets.token_urlsafe(24)
    with stop_on_signals() as stop:
        serve(settings, options_of(context).settings, host, port, token, stop, _announce)


def _announce(address: str) -> None:
    sys.stdout.write(f"ready {address}\n")
    sys.stdout.flush()
    tell("Ctrl-C ends it.")
