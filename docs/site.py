"""A hook of mkdocs: what the site shows that does not lie in docs/, and links that would lead out of it.

The README is the first page and CONTRIBUTING a page of its own, so that neither is written twice. A link to a file of
the repository is shown as its text: the site does not hold the code. Diagrams are drawn by the copy of Mermaid that
NiceGUI's package brings, so a reader's browser asks no other host.
"""

import posixpath
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md"}

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_DIAGRAMS = """import { mermaid } from "./mermaid/index.js";
const dark = () => document.body.getAttribute("data-md-color-scheme") === "slate";
mermaid.initialize({ startOnLoad: false, theme: dark() ? "dark" : "default" });
await mermaid.run({ querySelector: ".diagram" });
"""
_STYLE = """.md-grid { max-width: 72rem }
.diagram { overflow-x: auto }
.diagram svg { min-width: 60rem }
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages whose text lies in the repository's root."""
    for name, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text.replace('src="docs/', 'src="')))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Keep the links that lead to pages, anchors and other hosts; of all else show the text."""
    roots = {source: name for name, source in PAGES.items()}

    def shown(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, _, anchor = target.partition("#")
        path = roots.get(path.removeprefix("../"), path)
        if not path or "://" in path:
            return link.group()
        path = "decisions/index.md" if path == "decisions" else path
        here = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), path))
        if files.get_file_from_path(here) is None or path.endswith(".py"):
            return text
        return f"[{text}]({path}{'#' + anchor if anchor else ''})"

    return _LINK.sub(shown, markdown)


def _decisions() -> str:
    """A list of the records of decisions, by their titles."""
    rows = []
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        rows.append(f"- [{title}]({path.name})")
    return "# Decisions\n\nWhy things are as they are. A record that was replaced says so.\n\n" + "\n".join(rows) + "\n"


def on_post_build(config: Any) -> None:
    """Lay Mermaid and the styles beside the pages."""
    spec = find_spec("nicegui")
    assert spec is not None  # noqa: S101
    assert spec.origin is not None  # noqa: S101
    assets = Path(config.site_dir) / "assets"
    shutil.copytree(Path(spec.origin).parent / "elements" / "mermaid" / "dist", assets / "mermaid", dirs_exist_ok=True)
    (assets / "site.css").write_text(_STYLE, encoding="utf-8")
    (assets / "diagrams.mjs").write_text(_DIAGRAMS, encoding="utf-8")
