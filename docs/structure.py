"""Counts how the code is cut, to compare two states of it: `python docs/structure.py [FOLDER]`.

In: the imports in each module's syntax tree, late ones too. Out: a table of modules, their median length, modules with
at most one importer, arrows between folders, circles, and files per folder. `tests/unit/test_layers.py` forbids circles
with the same functions.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "pipeline" / "shadowbus"

Graph = Mapping[str, frozenset[str]]
"""For each module the modules of the same package that it imports."""


def modules(root: Path) -> dict[str, Path]:
    """The files under `root` by their dotted names; a package has the name of its folder."""
    named = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        named[".".join((root.name, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return named


def graph(root: Path = PACKAGE) -> dict[str, frozenset[str]]:
    """Which module imports which. A package that re-exports counts as a module; nothing imports itself."""
    known = modules(root)
    return {
        name: frozenset(found for wanted in _imports(name, path) if (found := _module(wanted, known))) - {name}
        for name, path in known.items()
    }


def circles(arrows: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other: Tarjan's strongly connected components of more than one node."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in arrows.get(node, ()):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            at = stack.index(node)
            group = sorted(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for node in arrows:
        if node not in index:
            visit(node)
    return sorted(found)


def between_folders(arrows: Graph, root: Path = PACKAGE) -> dict[str, frozenset[str]]:
    """The same between the folders right below the package; what lies beside them is no folder."""
    folders = {path.name for path in root.iterdir() if path.is_dir()}
    merged: dict[str, set[str]] = {}
    for name, imported in arrows.items():
        here = _folder(name)
        if here in folders:
            merged.setdefault(here, set()).update({_folder(other) for other in imported} & folders - {here})
    return {folder: frozenset(others) for folder, others in merged.items()}


def _folder(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _imports(name: str, path: Path) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names)


def _module(wanted: str, known: Mapping[str, Path]) -> str | None:
    """The module that an imported name is, or is taken from."""
    return wanted if wanted in known else next((up for up in [wanted.rpartition(".")[0]] if up in known), None)


def figures(root: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    """Each figure with its name. `__init__.py` files are not counted as modules."""
    arrows = graph(root)
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules(root).items()}
    real = [name for name, path in modules(root).items() if path.name != "__init__.py"]
    importers = Counter(other for imported in arrows.values() for other in imported)
    folders = between_folders(arrows, root)
    files = Counter(path.parent.relative_to(root).as_posix() for name, path in modules(root).items() if name in real)
    mutual = sorted({tuple(sorted((a, b))) for a, to in folders.items() for b in to if a in folders.get(b, ())})
    yield "modules", str(len(real))
    yield "median lines of a module", f"{statistics.median(lines[name] for name in real):.0f}"
    yield "modules over 300 lines", str(sum(lines[name] > 300 for name in real))
    yield "modules with at most one importer", str(sum(importers[name] <= 1 for name in real))
    yield "imports between modules", str(sum(map(len, arrows.values())))
    yield "folders at the top", str(len(folders))
    yield "arrows between them", str(sum(map(len, folders.values())))
    yield "pairs of them that import each other", str(len(mutual))
    yield "circles of modules", str(len(circles(arrows)))
    yield "files per folder, median", f"{statistics.median(files.values()):g}"
    yield "most files in a folder", ", ".join(f"{folder} {count}" for folder, count in files.most_common(6))


def main() -> None:
    """Print the figures as a table."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PACKAGE
    print("| what | how many |\n|---|---|")  # noqa: T201
    for what, count in figures(root):
        print(f"| {what} | {count} |")  # noqa: T201


if __name__ == "__main__":
    main()
