"""The virtual environment of the peers, made on demand: their dependencies and shadowbus' exclude each other."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from processes import say

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"
FRAMEWORKS = {"bytewax": "bytewax", "quix": "quixstreams"}
"""The package that candidates need, by the first word of their names."""


@dataclass(frozen=True)
class PeersVenv:
    """Where the peers' Python is, and what it has."""

    folder: Path = ROOT / ".venv-peers"

    @property
    def python(self) -> Path:
        """The interpreter; it exists once something was installed."""
        return self.folder / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """Installed versions, by package."""
        (found,) = [str(path) for path in self.folder.glob("lib/python3*/site-packages")] or [""]
        return {one.name.lower(): one.version for one in distributions(path=[found])} if found else {}

    def has(self, candidate: str) -> bool:
        """Whether a candidate's framework is installed, in the version that is asked for."""
        package = FRAMEWORKS[candidate.partition("-")[0]]
        wanted = pins()
        return all(self.versions().get(name) == wanted[name] for name in (package, *_shared()))

    def install(self, candidate: str) -> bool:
        """Install a candidate's framework unless it is there; says what it does, and why it could not."""
        package = FRAMEWORKS[candidate.partition("-")[0]]
        if self.has(candidate):
            return True
        say(f"installing {package} into {self.folder.name}, once; this takes a minute")
        try:
            if not self.python.exists():
                _run(sys.executable, "-m", "venv", "--clear", str(self.folder))
            quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
            _run(str(self.python), "-m", "pip", "install", *quiet, "-c", str(REQUIREMENTS), package, *_shared())
        except subprocess.CalledProcessError as error:
            say(f"{package} cannot be installed here, so it has no row: {error.stderr.strip()[-600:]}")
            return False
        return True


def pins() -> dict[str, str]:
    """The versions that are asked for, by package."""
    lines = REQUIREMENTS.read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _shared() -> list[str]:
    return [name for name in pins() if name not in FRAMEWORKS.values()]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
