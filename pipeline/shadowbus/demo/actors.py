"""The demo's own processes: the live page, the production service, its twin without the tap, and the traffic.

Guaranteed, by their process group: a Ctrl-C on the terminal does not reach them, and when this process dies, however it
does, so do they, and the demo's folder goes with them.
"""

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shadowbus.broker.folder import HOST, free_ports
from shadowbus.demo.progress import Progress, read_progress
from shadowbus.processes.group import ProcessGroup

ASK_S = 2.0
STOP_S = 8.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the actors play: the demo's folder, its settings file, the champion's bundle, and the live page's port."""

    folder: Path
    settings: Path
    champion: Path
    page_port: int


def page_at(port: int) -> str:
    """The address of the live page."""
    return f"http://{HOST}:{port}/"


class Actors:
    """Starts, asks and ends the demo's own processes."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._group = ProcessGroup(stage.folder)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        production, twin = free_ports(2, frozenset({stage.page_port}))
        self._ports = {"production": production, "twin": twin}
        self._client = httpx.Client(timeout=ASK_S)

    def address(self, service: str) -> str:
        """Where a service answers: `production` or `twin`."""
        return f"http://{HOST}:{self._ports[service]}"

    @property
    def page(self) -> str:
        """Where the live page answers."""
        return page_at(self._stage.page_port)

    def start_services(self) -> None:
        """Start the live page, production, with the tap, and its twin, without."""
        arguments = ["--config", str(self._stage.settings), "dashboard", "--port", str(self._stage.page_port)]
        self._launch("page", "shadowbus", arguments)
        for name, port in self._ports.items():
            capture = ["--capture", str(self._stage.settings)] if name == "production" else []
            model = ["--model", str(self._stage.champion)]
            self._launch(name, "shadowbus.demo.service", ["--port", str(port), *model, *capture])

    def start_traffic(self, seconds: float, rate: float) -> None:
        """Start calling."""
        addresses = [word for name in self._ports for word in (f"--{name}", self.address(name))]
        amount = ["--seconds", str(seconds), "--rate", str(rate)]
        told = ["--settings", str(self._stage.settings), "--progress", str(self._progress_file)]
        self._launch("traffic", "shadowbus.demo.traffic", [*addresses, *amount, *told])

    def serving(self) -> bool:
        """Whether both services answer, and the page."""
        return all(self._ask(name, "/health") is not None for name in self._ports) and self._shows()

    def tap(self) -> Mapping[str, Any]:
        """The tap's counters; empty when production does not answer."""
        return self._ask("production", "/tap") or {}

    def progress(self) -> Progress:
        """How traffic is going."""
        return read_progress(self._progress_file)

    def fallen(self) -> str:
        """The name of an actor that ended and should not have, and its last words; empty when all is well."""
        for name, process in self._running.items():
            if process.poll() is None or (name == "traffic" and process.returncode == 0):
                continue
            said = self._log(name).read_text(errors="replace").strip().splitlines()
            return f"{name} ended with exit code {process.returncode}: {said[-1] if said else 'without a word'}"
        return ""

    def end(self, name: str) -> None:
        """Ask one actor to end, wait, kill."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End them all: first those who ask, then those who answer."""
        for name in ("traffic", "twin", "production", "page"):
            self.end(name)
        self._client.close()
        self._group.close()

    def _launch(self, name: str, module: str, arguments: list[str]) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._running[name] = self._group.launch(command, self._stage.folder, self._log(name))

    def _ask(self, service: str, path: str) -> dict[str, Any] | None:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            response = self._client.get(self.address(service) + path)
            if response.is_success:
                found = response.json()
                return found if isinstance(found, dict) else None
        return None

    def _shows(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self._client.get(self.page).is_success
        return False

    def _log(self, name: str) -> Path:
        return self._stage.folder / f"{name}.log"

    @property
    def _progress_file(self) -> Path:
        return self._stage.folder / "progress.json"
