"""The documentation as a site: it builds without a warning, and a reader's browser asks no other host."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r"""<(?:script|img|link(?! rel="canonical"))[^>]*?(?:src|href)="?((?:https?:)?//[^"\s>]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there_and_found_by_search(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert all(f'"{page}.html"' in index for page in pages | {"index", "contributing"})


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    outside = {(path.name, url) for path in site.rglob("*.html") for url in LOADED.findall(path.read_text("utf-8"))}
    assert not outside
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\((https?:[^)]+)\)", path.read_text("utf-8")), path.name
    assert LOADED.findall('<script src="https://a.example/x.js"></script>') == ["https://a.example/x.js"]


def test_links_out_of_the_site_are_text(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    dead = {
        (path.relative_to(site).as_posix(), target)
        for path in pages
        for target in re.findall(r'href="?([^"\s>#]+)', path.read_text("utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists()
    }
    assert not dead
