"""Documentation that can fail: generated parts are fresh, links lead somewhere, every verb and setting is there."""

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
import typer

from shadowbus.cli.program import app
from shadowbus.kafka.worker import loop
from shadowbus.settings import parse_settings
from shadowbus.topology import STAGES, mermaid

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*.md")])
READ_ALOUD = [page for page in PAGES if page.parent.name != "decisions" and page.name != "CHANGELOG.md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def load_generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generate()
VERBS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_parts_are_fresh(name: str) -> None:
    assert text(name) == generate.renewed(text(name)), "run `make docs`"


@pytest.mark.parametrize(("name", "wanted"), list(generate.schemas()))
def test_schemas_are_fresh(name: str, wanted: str) -> None:
    assert text(name) == wanted, "run `make docs`"


def test_every_generated_part_is_somewhere_and_known() -> None:
    used = {part for name in generate.PAGES for part in re.findall(r"<!-- generated: (\w+) -->", text(name))}
    assert used == set(generate.PARTS)
    elsewhere = [name_of(page) for page in PAGES if "<!-- generated:" in page.read_text(encoding="utf-8")]
    assert sorted(elsewhere) == sorted(generate.PAGES)


def test_the_readme_shows_the_flow_that_runs() -> None:
    (picture,) = [body for kind, body in FENCE.findall(text("README.md")) if kind == "mermaid"]
    assert picture == mermaid()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented_with_its_flags(verb: str) -> None:
    page = text("docs/cli.md")
    _, heading, rest = page.partition(f"### `shadowbus {verb}")
    assert heading, f"docs/cli.md has no section on {verb}"
    section = rest.partition("\n### ")[0]
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    for parameter in command.params:
        for option in parameter.opts:
            assert not option.startswith("--") or f"{option}" in section, f"docs/cli.md: {verb} {option}"


def test_only_verbs_that_exist_are_documented() -> None:
    assert sorted(re.findall(r"^### `shadowbus ([a-z-]+)", text("docs/cli.md"), re.MULTILINE)) == VERBS


def test_every_setting_is_documented_with_its_default() -> None:
    page = text("docs/settings.md")
    assert set(generate.MEANINGS) | set(generate.limits()) == set(generate.setting_keys())
    for key in generate.setting_keys():
        table, _, name = key.rpartition(".")
        several = {one: f"### `[[{one}]]`" for one in ("shadow", "segment", "cost", "notify")}
        heading = {"": "### At the top", **several}.get(table, f"### `[{table}]`")
        section = page.partition(heading)[2].partition("\n##")[0]
        assert f"| `{name}` |" in section, key


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    plain = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(plain):
        if "://" in link or link.startswith(("#", "mailto:")):
            continue
        target = page.parent / unquote(link.partition("#")[0])
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert target.resolve().is_relative_to(ROOT), f"{name_of(page)} links out of the repository: {link}"


def commands_in(page: Path) -> Iterator[str]:
    """Every `shadowbus …` in a fenced block without a language, and in the text between backquotes."""
    content = page.read_text(encoding="utf-8")
    for kind, body in FENCE.findall(content):
        if kind in ("", "sh", "bash"):
            yield from (line.strip() for line in body.splitlines() if line.strip().startswith("shadowbus "))
    yield from re.findall(r"`(shadowbus [a-z][^`]*)`", FENCE.sub("", content))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_shown_use_verbs_and_flags_that_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in commands_in(page):
        words = [word for word in shlex.split(line.partition("|")[0].replace("…", "")) if word != "\\"][1:]
        while words and words[0].startswith("--"):
            words = words[2:] if words[0] == "--config" else words[1:]
        if not words or not words[0].islower():
            continue
        assert words[0] in commands, f"{name_of(page)}: {line}"
        known = {option for parameter in commands[words[0]].params for option in parameter.opts} | {"--help"}
        flags = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert flags <= known, f"{name_of(page)}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    content = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z]+)", content)) | set(re.findall(r"^make ([a-z]+)\b", content, re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("name", ["README.md", "docs/settings.md"])
def test_settings_that_are_shown_load(name: str) -> None:
    shown = [body for kind, body in FENCE.findall(text(name)) if kind == "toml"]
    assert shown
    for body in shown:
        document = {"namespace": "churn", **tomllib.loads(body)}
        parse_settings(document, Path("shadow.toml"), {"KAFKA_PASSWORD": "x"})


def test_the_steps_of_the_loop_are_the_same_in_code_and_docs() -> None:
    step = re.compile(r"^(\d)\. (.*?)(?=^\d\. |^\n|\Z)", re.DOTALL | re.MULTILINE)
    assert loop.__doc__ is not None
    steps = {number: " ".join(words.split()) for number, words in step.findall(loop.__doc__)}
    assert list(steps) == ["1", "2", "3", "4", "5", "6"]
    section = text("docs/architecture.md").partition("## Exactly once")[2].partition("\n## ")[0]
    told = {number: " ".join(words.split()) for number, words in step.findall(section)}
    assert told == steps
    body = Path(loop.__file__).read_text(encoding="utf-8").partition('"""\n\n')[2]
    marked = set(re.findall(r"# (\d)$", body, re.MULTILINE))
    marked |= {number for words in re.findall(r'"""Steps? ([^"]*?)[.,]', body) for number in re.findall(r"\d", words)}
    assert marked == set(steps)
    table = [row for row in section.splitlines() if row.startswith("| ") and row[2].isdigit()]
    assert {row[2] for row in table} == set(steps)


def test_the_crash_table_speaks_of_every_stage() -> None:
    section = text("docs/architecture.md").partition("## Crash table")[2].partition("\n## ")[0]
    rows = {row.split("|")[1].strip() for row in section.splitlines() if row.startswith("| ")}
    assert {stage.name for stage in STAGES} <= rows


def files_named(words: str) -> set[Path]:
    """The files of the package that a part of docs/architecture.md links to."""
    targets = {(ROOT / "docs" / link).resolve() for link in LINK.findall(words)}
    return {path for path in targets if path.suffix == ".py"}


def test_the_walk_names_at_most_twelve_files_which_exist_in_the_order_of_the_flow() -> None:
    section = text("docs/architecture.md").partition("## One request, from capture to verdict")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. \[`([a-z_/]+\.py)`\]", section, re.MULTILINE)
    assert len(steps) == len(files_named(section)) <= 12
    assert all((ROOT / "pipeline" / "shadowbus" / step).is_file() for step in steps)
    folders = list(dict.fromkeys(step.partition("/")[0] for step in steps))
    assert folders == ["capture", "kafka", "replay", "judge", "aggregate", "decide", "verdict"]


def test_to_add_something_at_most_three_files_change() -> None:
    section = text("docs/architecture.md").partition("## To add something")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| a ")]
    assert len(rows) == 5
    for row in rows:
        named = files_named(row.split("|")[2])
        assert 1 <= len(named) <= 3, row
        assert all(path.is_file() for path in named), row


@pytest.mark.parametrize("page", READ_ALOUD, ids=name_of)
def test_sentences_say_who_does_what(page: Path) -> None:
    twisted = re.compile(r"\b(of which|(is|are|be) had|had again|(is|are) told|so many)\b")
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if twisted.search(line) and not line.startswith(">")]


def test_decisions_are_numbered_without_a_gap_or_a_double() -> None:
    numbers = [int(page.name[:4]) for page in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_constraints_pin_every_direct_dependency_with_a_reason() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=; ]", requirement)[0].lower() for requirement in wanted} - {"shadowbus"}
    lines = text("constraints.txt").lower().splitlines()
    for name in sorted(names):
        (at,) = [number for number, line in enumerate(lines) if line.startswith(f"{name}==")]
        assert lines[at - 1].startswith("# "), f"constraints.txt: why {name}?"
        assert not lines[at - 1].startswith("# ---"), f"constraints.txt: why {name}?"
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][a-z0-9.+-]*( *;.*)?", pin) for pin in pins)
    assert len({pin.partition("==")[0].replace("_", "-") for pin in pins}) == len(pins)
