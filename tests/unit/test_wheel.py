"""The package as people get it: a wheel that is built, installed into an environment of its own, and used there."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS_DATA = """
import importlib.resources as resources, pathlib, shadowbus, sys
root = resources.files("shadowbus")
for name in sys.argv[1:]:
    assert root.joinpath(name).is_file(), name
print(pathlib.Path(shadowbus.__file__).parent)
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment in which the wheel is installed, beside the libraries that are here already."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building writes beside what it builds
    shutil.copytree(ROOT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-index", "--no-deps")
    run(sys.executable, "-m", "pip", "wheel", *quiet, "--no-build-isolation", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("shadowbus-*.whl")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    run(sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", *quiet, wheel, cwd=folder)
    (site,) = home.glob("lib/python*/site-packages")
    # Read as a path and not as a site folder: what is installed here from its source stays out.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    return home


def test_the_wheel_has_every_file_that_is_no_python(installed: Path) -> None:
    package = ROOT / "pipeline" / "shadowbus"
    data = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    ]
    assert "dashboard/page.css" in data
    place = run(installed / "bin" / "python", "-c", NEEDS_DATA, *data, cwd=installed)
    assert Path(place.strip()).is_relative_to(installed)


def test_the_installed_command_runs(installed: Path) -> None:
    command = installed / "bin" / "shadowbus"
    assert run(command, "--version", cwd=installed).strip()
    assert "verdict" in run(command, "--help", cwd=installed)
