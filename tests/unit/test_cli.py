"""The command line: sentences in place of tracebacks, exit codes that can be relied on, and nothing undocumented."""

import contextlib
import io
import json
import logging
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import skops.io
import typer
from sklearn.linear_model import LogisticRegression

from shadowbus.cli import logs
from shadowbus.cli.console import clean
from shadowbus.cli.logs import OneLine
from shadowbus.cli.program import app, run
from shadowbus.cli.read.tail import line_of
from shadowbus.models.bundle import read_bundle
from shadowbus.records import Answer, Comparison
from shadowbus.settings import load_settings
from shadowbus.topology import STAGES, TOPICS, mermaid
from shadowbus.trials import shadow_of

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

GOOD = """
namespace = "churn"
partitions = 3
[kafka]
"bootstrap.servers" = "localhost:1"
"sasl.password" = "hunter2"
[kafka.consumer]
"fetch.min.bytes" = 7
[[shadow]]
name = "challenger"
model = "models/4"
options = { positive = "a \\"quoted\\" \\\\ name" }
[[shadow]]
name = "other"
model = "models/5"
[gate]
max_error_rate = 0.001
"""

WAITS = """
import sys
from shadowbus.processes.signals import stop_on_signals
with stop_on_signals() as stop:
    print("ready", flush=True)
    stop.wait()
    print("stopping", flush=True)
    if len(sys.argv) > 1:
        sys.stdin.read()
print("stopped", flush=True)
"""

HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07name", "name"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x9b31mred", "red"),
    ("a\x1bcb", "ab"),
    ("over\rwritten\nline", "over written line"),
    ("\x07\x08\x7f\x00bell", "bell"),
    ("\u202egnorw\u2066", "gnorw"),
    ("open \x1b[", "open "),
    ("[bold red]markup[/]", "[bold red]markup[/]"),
    ("ünï→😀", "ünï→😀"),
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shadow.toml"
    path.write_text(GOOD)
    return path


@dataclass
class Done:
    """How a call of the command line ended."""

    returncode: int
    stdout: str
    stderr: str


def shadowbus(*arguments: str | Path) -> Done:
    """Call the command line within this process, but for its logs, which are set up for a whole process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(logs, "set_up"):
        try:
            code: object = run([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def in_a_process(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, timeout=60)


def test_a_wrong_key_is_one_sentence(config: Path) -> None:
    config.write_text(GOOD.replace("max_error_rate", "max_eror_rate"))
    done = shadowbus("--config", config, "settings")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{config}: unknown key 'gate.max_eror_rate'; did you mean 'gate.max_error_rate'?\n"


def test_debug_shows_the_traceback(config: Path) -> None:
    config.write_text(GOOD.replace("max_error_rate", "max_eror_rate"))
    command = [sys.executable, "-m", "shadowbus", "--debug", "--config", str(config), "settings"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")


@pytest.mark.parametrize("verb", ["settings", "replay --shadow x", "judge", "aggregate", "agents", "up", "status"])
def test_a_missing_settings_file_is_one_sentence(tmp_path: Path, verb: str) -> None:
    done = shadowbus("--config", tmp_path / "absent.toml", *verb.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"There is no settings file {tmp_path / 'absent.toml'}")


@pytest.mark.parametrize("verb", ["replay", "tail", "verdict", "slices", "approve", "report --out a.md"])
def test_a_shadow_is_an_argument_and_config_may_come_last(config: Path, verb: str) -> None:
    done = shadowbus(*verb.split(), "chalenger", "--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    known = f"{config} has no shadow named 'chalenger'; it has challenger, other. Did you mean 'challenger'?\n"
    assert done.stderr == known


def test_no_arguments_show_the_help_and_are_no_error() -> None:
    done = shadowbus()
    assert (done.returncode, done.stderr) == (0, "")
    assert "verdict" in done.stdout


@pytest.mark.parametrize(
    "arguments", ["verdict", "verdict a --shadow b", "verdict a --timeout 5", "label-queue a --count"]
)
def test_a_shadow_that_is_missing_or_named_twice_is_wrong_usage(config: Path, arguments: str) -> None:
    assert shadowbus("--config", config, *arguments.split()).returncode == 2


@pytest.mark.parametrize("verb", ["replay", "tail", "verdict"])
def test_an_unknown_shadow_is_one_sentence_that_names_the_known_ones(config: Path, verb: str) -> None:
    done = shadowbus("--config", config, verb, "--shadow", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{config} has no shadow named 'nobody'; it has challenger, other.\n"


@pytest.mark.parametrize(
    "arguments",
    ["nosuchverb", "topics", "topics --create --check", "broker --nodes 2", "replay", "tail --limit 0", "bundle x"],
)
def test_wrong_usage_is_exit_code_2(config: Path, arguments: str) -> None:
    done = shadowbus("--config", config, *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: shadowbus" in done.stderr


def test_the_environment_names_the_settings_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWBUS_CONFIG", str(config))
    assert json.loads(shadowbus("settings", "--json").stdout)["namespace"] == "churn"


def test_the_version_needs_no_settings(tmp_path: Path) -> None:
    done = shadowbus("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"shadowbus \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_a_capture_install_says_what_to_install(module: str) -> None:
    text = f"import sys; sys.modules[{module!r}] = None; import shadowbus.cli; sys.exit(shadowbus.cli.main())"
    done = in_a_process(text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The command line is not part of a capture install: install 'shadowbus[worker]'.\n"


def test_a_missing_extra_says_what_to_install(config: Path) -> None:
    text = "import sys; sys.modules['faust'] = None; import shadowbus.cli; sys.exit(shadowbus.cli.main())"
    done = in_a_process(text, "--config", str(config), "agents")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "This verb needs faust, which is not installed: install 'shadowbus[worker]'.\n"


def test_help_loads_no_kafka_client_and_no_engine() -> None:
    text = "import sys, shadowbus.cli.program as p; print(*{'confluent_kafka', 'faust', 'numpy'} & set(sys.modules))"
    assert in_a_process(text).stdout == "\n"


def test_settings_are_toml_that_reads_back_to_the_same_settings(config: Path) -> None:
    config.write_text(GOOD.replace('"sasl.password" = "hunter2"\n', ""))
    shown = config.with_name("shown.toml")
    shown.write_text(shadowbus("--config", config, "settings").stdout)
    before, after = load_settings(config), load_settings(shown)
    assert (after.kafka, after.shadow, after.gate) == (before.kafka, before.shadow, before.gate)
    assert (after.namespace, after.partitions, after.worker) == (before.namespace, before.partitions, before.worker)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_settings_mask_secrets(config: Path, flags: list[str]) -> None:
    shown = shadowbus("--config", config, "settings", *flags).stdout
    assert "hunter2" not in shown
    document = json.loads(shown) if flags else tomllib.loads(shown)
    assert document["kafka"]["sasl.password"] == "********"


def test_topology_shows_every_stage_and_topic() -> None:
    shown = shadowbus("topology").stdout
    assert not [stage.name for stage in STAGES if f"\n{stage.name} " not in shown]
    assert not [topic.name for topic in TOPICS if f"\n{topic.name} " not in shown]
    assert shadowbus("topology", "--mermaid").stdout == mermaid()


def test_bundle_makes_a_bundle(tmp_path: Path) -> None:
    skops.io.dump(LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], ["no", "yes"]), tmp_path / "model.skops")
    flags = ["--name", "new", "--version", "4", "--out", str(tmp_path / "built"), "--features", "a, b"]
    done = shadowbus("bundle", tmp_path / "model.skops", *flags)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'built'}\n")
    bundle = read_bundle(tmp_path / "built")
    assert (bundle.model, bundle.features) == ("new@4", ("a", "b"))
    wrong = shadowbus("bundle", tmp_path / "model.skops", *flags[:-1], "a,b,c")
    assert (wrong.returncode, wrong.stdout, "Traceback" in wrong.stderr) == (1, "", False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "stopping\nstopped\n"
    assert process.returncode == 0


def test_a_second_ctrl_c_ends_at_once() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WAITS, "hang"], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_foreign_text_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown
    answer = Answer(text, text, error=None)
    comparison = Comparison(text, 10**30, f"{text}~{text}@1", text, answer, Answer(text, text, error=text), False, 1.0)
    line = line_of(comparison)
    assert line.plain.startswith(f"{10**30}  {shown}  {shown}  {shown} -> error: {shown}  differ  ")
    assert len(line.spans) < 10  # of the columns, none from markup


def test_a_log_is_one_line_with_time_level_and_stage() -> None:
    record = logging.LogRecord("shadowbus.x", logging.ERROR, "x.py", 1, "two\nlines %s", ("\x1b[2J",), None)
    record.created = 1_700_000_000.5
    assert OneLine("judge", tracebacks=False).format(record) == "2023-11-14T22:13:20.500Z ERROR judge: two lines "


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_in_a_log_keeps_its_traceback_for_debug(debug: bool) -> None:
    try:
        raise OSError("no\nspace")
    except OSError:
        record = logging.LogRecord("shadowbus.x", logging.ERROR, "x.py", 1, "it failed", (), sys.exc_info())
    lines = OneLine("judge", tracebacks=debug).format(record).splitlines()
    assert (len(lines) > 1) == debug
    assert debug or lines[0].endswith("judge: it failed (OSError: no space)")


def test_the_shadow_of_a_trial_is_found_whatever_its_versions_look_like() -> None:
    assert shadow_of("champion@3+a.b~new-1.x@4_2") == "new-1.x"
    assert shadow_of("no trial at all") == ""


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_and_flag_is_documented(verb: str) -> None:
    section = re.search(rf"^### `shadowbus {verb}\b(.*?)(?=^##|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert section is not None, f"docs/cli.md says nothing of {verb}"
    flags = {flag for parameter in COMMANDS[verb].params for flag in parameter.opts if flag.startswith("--")}
    missing = {flag for flag in flags - {"--help"} if not re.search(rf"`{flag}\b", section[0])}
    assert not missing, f"docs/cli.md does not explain {missing} of {verb}"
    assert COMMANDS[verb].help


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^### `shadowbus ([a-z-]+)", DOCUMENT, re.MULTILINE)) == set(COMMANDS)
