"""One node of an embedded Kafka: its settings, its process, and its last words when it fails."""

import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shadowbus.broker.folder import HOST
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.processes.group import ProcessGroup

LAST_WORDS = 12
"""Lines of a broker's log that an error shows."""

_NOISE = re.compile(r"\s+at |\s*\.\.\. \d+ more|WARNING: |\[[\d.]+s\]\[warning\]")
"""Stack frames and the Java runtime's own remarks, which say nothing about what to do."""


@dataclass(slots=True)
class Node:
    """A broker and controller in one process, with a folder of its own.

    Attributes:
        java: The command that starts Java with Kafka on its class path, without a main class.
        broker_flags: Further Java flags of the broker itself.
        group: The processes that end with this one.
    """

    node_id: int
    port: int
    controller_port: int
    folder: Path
    java: Sequence[str]
    broker_flags: Sequence[str]
    group: ProcessGroup
    _process: "subprocess.Popen[bytes] | None" = None
    _wanted: bool = False
    _log_from: int = 0

    def __str__(self) -> str:
        return f"node {self.node_id} of the embedded Kafka"

    @property
    def address(self) -> str:
        """Where clients reach this node."""
        return f"{HOST}:{self.port}"

    @property
    def voter(self) -> str:
        """This node among the quorum's voters, as Kafka writes it."""
        return f"{self.node_id}@{HOST}:{self.controller_port}"

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    def begin_format(self, cluster_id: str, properties: Mapping[str, str]) -> None:
        """Write the settings, and begin to make the data folder the cluster's unless it is already."""
        self.folder.mkdir(exist_ok=True)
        self._settings.write_text(_rendered({**self._own_properties(), **properties}), encoding="ascii")
        if (self._data / "meta.properties").is_file():  # the storage tool writes it last
            return
        self._run("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self._settings))

    def end_format(self, deadline: Deadline) -> None:
        """Wait until the data folder is ready.

        Raises:
            BrokerError: Kafka's storage tool refuses, or takes too long.
        """
        if not self.wait(deadline):
            raise BrokerError(f"{self} took too long to format its data folder. Its last words:\n{self.last_words()}")
        if self._process is not None and self._process.returncode:
            raise BrokerError(
                f"{self} cannot format its data folder; correct what its last words name:\n{self.last_words()}"
            )

    def start(self) -> None:
        """Start the broker; it serves some seconds later."""
        self._run(*self.broker_flags, "kafka.Kafka", str(self._settings))
        self._wanted = True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the broker; one that ends it is wanted from now on.

        Raises:
            BrokerError: It does not run.
        """
        if self._process is None or not self.running:
            raise BrokerError(f"{self} is not running: start it first")
        self._wanted = self._wanted and number not in (signal.SIGTERM, signal.SIGKILL)
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self.running:
            self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def wait(self, deadline: Deadline) -> bool:
        """Wait for the process to end; whether it did."""
        try:
            if self._process is not None:
                self._process.wait(deadline.remaining())
        except subprocess.TimeoutExpired:
            return False
        return True

    def check(self) -> None:
        """Raise a BrokerError if the broker ended and nobody asked it to."""
        if self._wanted and not self.running:
            raise BrokerError(f"{self} ended by itself; correct what its last words name:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what this run logged, without the noise."""
        with self._log.open("rb") as log:
            log.seek(self._log_from)
            lines = log.read().decode(errors="replace").splitlines()
        telling = [line for line in lines if line.strip() and not _NOISE.match(line)]
        return "\n".join(telling[-LAST_WORDS:]) or "(none)"

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    def _own_properties(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data),
        }

    def _run(self, *arguments: str) -> None:
        self._log_from = self._log.stat().st_size if self._log.exists() else 0
        self._process = self.group.launch([*self.java, *arguments], self.folder, self._log)


def _rendered(properties: Mapping[str, str]) -> str:
    """A Java properties file: ASCII, with everything else as UTF-16 escapes."""
    return "".join(f"{_escaped(key)}={_escaped(value)}\n" for key, value in properties.items())


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code < 0x7F and chr(code) != "\\" else f"\\u{code:04x}" for code in codes)
