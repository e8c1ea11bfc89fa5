"""Who may import what: the direction of flow, Kafka behind its door, Faust where agents run, one clock."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from docs.structure import circles, figures, graph

PACKAGE = Path(__file__).resolve().parents[2] / "pipeline" / "shadowbus"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

STAGES = {"capture", "rekey", "replay", "judge", "aggregate"}

KAFKA_FOLDERS = {"kafka", "broker", "capture"}
"""Where the Kafka client may be imported. Workers hand their stage to `kafka/worker/loop.py` and need no client."""

FAUST_FILES = {"agents/faust_app.py"}

CLOCK_FILES = {"clock.py"}

SHOWS_TIMES = {
    "capture/kinds.py",
    "cutoff.py",
    "gates.py",
    "cli/logs.py",
    "cli/read/tail.py",
    "backtest/cells/times.py",
    "dashboard/moments.py",
    "report/moment.py",
    "models/sklearn/frames.py",
    "models/trained_until.py",
}
"""Files that turn a moment they were given into text, or text into a moment; they may not ask for one."""

ASKS_THE_TIME = {"now", "utcnow", "today"}

PURE = (
    "verdict/",
    "compare/",
    "slices/",
    "labelling/",
    "notify/due.py",
    "notify/messages.py",
    "promotion/course.py",
    "promotion/order.py",
    "report/charts.py",
    "report/evidence.py",
    "report/foreign.py",
    "report/look.py",
    "webhook/signature.py",
    "story/",
    "freshness.py",
    "trials.py",
    "limits.py",
    "cutoff.py",
    "gates.py",
    "records/",
    "statistics/",
    "summary/",
    "totals/",
    "topology.py",
    "stage.py",
    "errors.py",
    "exporter/metrics.py",
    "asyncapi.py",
)
"""Parts that know nothing of Kafka, stages or processes."""


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All that a file consists of, read once for every test."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it the import stands; relative ones made absolute."""
    package = ("shadowbus", *path.relative_to(PACKAGE).parent.parts)
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def importers_of(*modules: str) -> set[str]:
    """The files that import one of these top-level modules."""
    return {
        name
        for name, path in zip(NAMES, FILES, strict=True)
        if {imported.partition(".")[0] for imported in imports_of(path)} & set(modules)
    }


def test_there_is_something_to_look_at() -> None:
    assert {name.partition("/")[0] for name in NAMES} >= STAGES
    assert set(NAMES) >= FAUST_FILES | CLOCK_FILES | SHOWS_TIMES


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_meet_in_records_and_topology_only(stage: str) -> None:
    others = {f"shadowbus.{other}" for other in STAGES - {stage}}
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith(f"{stage}/")
        for imported in imports_of(path)
        if ".".join(imported.split(".")[:2]) in others
    }
    assert not offending


BELOW = {"statistics": set[str](), "totals": {"statistics"}, "summary": {"statistics", "totals"}}
"""Of these folders, which of the others each may import."""


@pytest.mark.parametrize("folder", sorted(BELOW))
def test_what_is_counted_builds_upwards(folder: str) -> None:
    others = {f"shadowbus.{other}" for other in {*BELOW, *STAGES} - BELOW[folder] - {folder}}
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith(f"{folder}/")
        for imported in imports_of(path)
        if ".".join(imported.split(".")[:2]) in others
        or (folder == "statistics" and imported.startswith("shadowbus") and ".statistics" not in imported)
    }
    assert not offending


def test_trial_names_are_taken_apart_in_one_place() -> None:
    splitting = {
        name
        for name, path in zip(NAMES, FILES, strict=True)
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("partition", "rpartition", "split", "rsplit")
        and any(isinstance(one, ast.Constant) and one.value == "~" for one in node.args)
    }
    assert splitting == {"trials.py"}


def test_the_kafka_client_stays_behind_its_door() -> None:
    outside = {name for name in importers_of("confluent_kafka") if name.partition("/")[0] not in KAFKA_FOLDERS}
    assert not outside


def test_kafka_knows_nothing_above_it() -> None:
    """It runs any stage and any meter; who connects them imports it, never the other way round."""
    above = {*STAGES, "agents", "backtest", "cli", "dashboard", "decide", "doctor", "exporter", "notify", "report"}
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith(("kafka/", "broker/", "processes/"))
        for imported in imports_of(path)
        if imported.startswith("shadowbus.") and imported.split(".")[1] in {*above, "worker", "story", "promotion"}
    }
    assert not offending


def test_transactions_are_in_one_file() -> None:
    calls = {"begin_transaction", "commit_transaction", "send_offsets_to_transaction", "init_transactions"}
    users = {
        name
        for name, path in zip(NAMES, FILES, strict=True)
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr in calls
    }
    assert users == {"kafka/worker/transaction.py", "kafka/transaction_probe.py"}


def test_faust_is_imported_where_agents_run() -> None:
    assert importers_of("faust", "mode") == FAUST_FILES


def test_what_acts_and_draws_is_imported_in_one_file_each() -> None:
    assert importers_of("mlflow") == {"promotion/mlflow_registry.py"}
    assert importers_of("vl_convert") == {"report/drawing.py"}


def test_nothing_but_the_clock_asks_the_time() -> None:
    assert importers_of("time") == CLOCK_FILES
    assert importers_of("datetime") == SHOWS_TIMES
    asking = {
        (name, node.attr)
        for name in SHOWS_TIMES
        for node in nodes_of(PACKAGE / name)
        if isinstance(node, ast.Attribute) and node.attr in ASKS_THE_TIME
    }
    assert not asking


def test_pure_parts_import_no_machinery() -> None:
    machinery = {f"shadowbus.{part}" for part in (*STAGES, "kafka", "cli", "models", "supervisor")}
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith(PURE)
        for imported in imports_of(path)
        if ".".join(imported.split(".")[:2]) in machinery
    }
    assert not offending


def test_a_backtest_drives_the_stages_and_only_the_command_line_runs_it() -> None:
    importing = {
        name
        for name, path in zip(NAMES, FILES, strict=True)
        if any(imported.startswith("shadowbus.backtest") for imported in imports_of(path))
    }
    assert {name for name in importing if not name.startswith("backtest/")} == {"cli/run/backtest.py"}
    machinery = (
        "shadowbus.kafka",
        "shadowbus.cli",
        "shadowbus.clock",
        "confluent_kafka",
        "shadowbus.processes.supervisor",
    )
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith("backtest/")
        for imported in imports_of(path)
        if imported.startswith(machinery)
    }
    assert not offending


def test_the_page_reads_kafka_in_one_file() -> None:
    readers = {
        name
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith("dashboard/") and any(one.startswith("shadowbus.kafka") for one in imports_of(path))
    }
    assert readers == {"dashboard/reader.py"}
    assert all(name.startswith("dashboard/") for name in importers_of("nicegui"))


def test_the_doctors_checks_see_evidence_only() -> None:
    """Whatever asks Kafka is in `gather.py`; `look.py` takes its answers as data."""
    offending = {
        (name, imported)
        for name, path in zip(NAMES, FILES, strict=True)
        if name.startswith("doctor/") and name not in ("doctor/gather.py", "doctor/look.py")
        for imported in imports_of(path)
        if ".".join(imported.split(".")[:2]) in {"shadowbus.kafka", "shadowbus.cli", "shadowbus.clock"}
    }
    assert not offending


def test_a_production_service_needs_only_what_a_plain_install_brings() -> None:
    """`shadowbus.capture` and what it imports must not need an extra."""
    allowed = {"confluent_kafka", "orjson", "shadowbus"}
    extras = {"numpy", "psutil", "rich", "typer", "faust", "scipy", "sklearn", "rocksdict", "datasketches", "httpx"}
    seen: set[str] = set()
    todo = [path for name, path in zip(NAMES, FILES, strict=True) if name.startswith("capture/")]
    while todo:
        path = todo.pop()
        seen.add(str(path.relative_to(PACKAGE)))
        for imported in imports_of(path):
            top = imported.partition(".")[0]
            assert top in allowed or top not in extras, f"{path.name} imports {imported}"
            if top == "shadowbus":
                found = PACKAGE.joinpath(*imported.split(".")[1:]).with_suffix(".py")
                if found.is_file() and str(found.relative_to(PACKAGE)) not in seen:
                    todo.append(found)
    assert "clock.py" in seen


def test_no_module_imports_itself_through_others() -> None:
    """Imports within functions count: a circle that is cut by a late import is still a circle."""
    assert circles(graph()) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    package = tmp_path / "house"
    (package / "roof").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "wall.py").write_text("from house.roof import tile\n", encoding="utf-8")
    (package / "roof" / "__init__.py").touch()
    (package / "roof" / "tile.py").write_text("def lay():\n    from ..wall import brick\n", encoding="utf-8")
    (package / "door.py").write_text("import house.wall\nimport json\n", encoding="utf-8")
    arrows = graph(package)
    assert arrows["house.door"] == {"house.wall"}
    assert circles(arrows) == [["house.roof.tile", "house.wall"]]
    counted = dict(figures(package))
    assert (counted["modules"], counted["circles of modules"]) == ("3", "1")
