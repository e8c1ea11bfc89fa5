"""The folder an embedded Kafka keeps its data in: whose it is, who uses it, and which ports go with it."""

import base64
import fcntl
import json
import random
import shutil
import socket
import tempfile
import threading
import uuid
from pathlib import Path

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError

HOST = "127.0.0.1"
LOCK_S = 2.0
"""How long to wait for the brokers of a process that was just killed to let go of their folder."""

PORTS = range(10_000, 32_000)
"""Below the ports that systems give to outgoing connections: one of those could take the port of a dead node."""


class DataFolder:
    """A folder that one cluster at a time uses, and that always belongs to the same cluster.

    Args:
        path: Kept, and used again next time; None makes a temporary one that ``close`` removes.
        nodes: How many nodes the cluster has.

    Raises:
        BrokerError: Another broker uses the folder, or it belongs to a cluster of another size.
    """

    def __init__(self, path: Path | None, nodes: int) -> None:
        self.temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="shadowbus-kafka-")) if path is None else path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("a")
        try:
            self._take(Deadline.after(LOCK_S))
            self.cluster_id = self._identity(nodes)
        except BaseException:
            self._lock.close()
            raise

    @property
    def lock(self) -> int:
        """The lock's file descriptor: a process that inherits it keeps the folder taken for as long as it lives."""
        return self._lock.fileno()

    def close(self) -> None:
        """Let go of the folder, and remove it if it is a temporary one."""
        self._lock.close()
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def _take(self, deadline: Deadline) -> None:
        """Take the lock, or say who has to go."""
        pause = threading.Event()
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if deadline.passed:
                    raise BrokerError(
                        f"another embedded Kafka uses the data folder {self.path}: stop it, or choose another folder"
                    ) from None
                pause.wait(0.05)
            else:
                return

    def _identity(self, nodes: int) -> str:
        """The cluster's id, made on first use and kept beside the data."""
        kept = self.path / "cluster.json"
        if not kept.exists():
            new = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            half = self.path / "cluster.json.new"
            half.write_text(json.dumps({"cluster_id": new, "nodes": nodes}), encoding="utf-8")
            half.replace(kept)
        cluster = json.loads(kept.read_text(encoding="utf-8"))
        if cluster["nodes"] != nodes:
            raise BrokerError(
                f"the data folder {self.path} belongs to a Kafka of {cluster['nodes']} node(s), not {nodes}: "
                f"start it with {cluster['nodes']}, or choose another folder"
            )
        return str(cluster["cluster_id"])


def choose_ports(first: int | None, count: int) -> list[int]:
    """The clients' ports of the nodes: the ones asked for, or free ones.

    Raises:
        BrokerError: A port that was asked for is in use.
    """
    if first is None:
        return free_ports(count)
    for port in range(first, first + count):
        if not _is_free(port):
            raise BrokerError(
                f"port {port} on {HOST} is already in use: stop what listens there, or choose another port"
            )
    return list(range(first, first + count))


def free_ports(count: int, taken: frozenset[int] = frozenset()) -> list[int]:
    """As many different ports as asked for that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if port not in taken and _is_free(port):
            found.append(port)
    raise BrokerError(f"no {count} free ports between {PORTS.start} and {PORTS.stop} on {HOST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
