"""A real Apache Kafka 4 in child processes, for tests, the demo and benchmarks: no Docker, no Java to install.

In: how many nodes, where, and any broker property. Out: ``bootstrap``, an address that any Kafka client takes.
Guaranteed: when ``start`` returns every node serves; when this process ends, in whatever way, so do its brokers.

    with EmbeddedKafka() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from shadowbus.broker import distribution, warm_start
from shadowbus.broker.config import broker_properties, java_command
from shadowbus.broker.folder import DataFolder, choose_ports, free_ports
from shadowbus.broker.node import Node
from shadowbus.broker.ready import has_group_coordinator, has_nodes, silent_client
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.processes.group import ProcessGroup
from shadowbus.processes.signals import stop_on_signals

START_S = 60.0
STOP_S = 30.0
POLL_S = 0.05


class StoppedError(BrokerError):
    """It was given up while it started, as somebody asked for."""


class EmbeddedKafka:
    """A Kafka cluster of one or three nodes on this machine, as a context manager or with start and stop.

    Args:
        nodes: 1, or 3 with replication factor 3 of which 2 have to be in sync. Numbered from 1, as in Kafka's metadata.
        port: The first node's port, the others' follow it; None takes free ones.
        data_dir: Kept, and used again by the next start; None is a temporary folder that goes when the cluster stops.
        properties: Further broker properties, which win over the ones chosen here.
        heap_mb: Java heap of each node, in MiB.
        java_flags: Further flags of the brokers' Java.
        start_s: How long a start may take as a whole, in seconds, not counting the one fetch of Kafka itself.
    """

    def __init__(
        self,
        nodes: int = 1,
        port: int | None = None,
        data_dir: Path | None = None,
        properties: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        *,
        java_flags: Sequence[str] = (),
        start_s: float = START_S,
    ) -> None:
        if nodes not in (1, 3):
            raise BrokerError(f"an embedded Kafka has 1 node or 3, not {nodes}")
        self._count = nodes
        self._port = port
        self._data_dir = data_dir
        self._properties = dict(properties or {})
        self._heap_mb = heap_mb
        self._java_flags = tuple(java_flags)
        self._start_s = start_s
        self._nodes: dict[int, Node] = {}
        self._opened = contextlib.ExitStack()

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, for ``bootstrap.servers``."""
        return ",".join(node.address for node in self._nodes.values())

    def start(self, stop: threading.Event | None = None) -> Self:
        """Start every node and wait until all of them serve.

        Args:
            stop: Set it to give up on the way.

        Raises:
            StoppedError: `stop` was set. Nothing is left behind.
            BrokerError: The start failed; the message ends with the broker's own last words. Nothing is left behind.
        """
        if self._nodes:
            raise BrokerError("this embedded Kafka runs already: stop it first")
        kafka = distribution.installed()
        java = java_command(kafka, self._heap_mb)
        self._launch([*java, *warm_start.flags(kafka, partial(_rehearse, java))], stop)
        return self

    def stop(self) -> None:
        """Stop every node, gracefully where its data are kept. Stopping twice is fine."""
        try:
            if self._data_dir is not None:
                self._stop_gracefully(Deadline.after(STOP_S))
        finally:
            self._abandon()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def kill_node(self, node_id: int) -> None:
        """Kill a node with ``kill -9``, paused or not."""
        node = self._node(node_id)
        node.signal(signal.SIGKILL)
        node.kill()

    def stop_node(self, node_id: int) -> None:
        """Stop a node as an operator would: its partitions get other leaders first."""
        node = self._node(node_id)
        node.signal(signal.SIGTERM)
        node.wait(Deadline.after(STOP_S))
        node.kill()

    def start_node(self, node_id: int) -> None:
        """Start a node that was stopped or killed, and wait until it serves."""
        node = self._node(node_id)
        if node.running:
            raise BrokerError(f"{node} runs already")
        node.start()
        self._until(partial(has_nodes, wanted=[node_id]), Deadline.after(self._start_s))

    def pause_node(self, node_id: int) -> None:
        """Freeze a node: it keeps its connections and answers nothing."""
        self._node(node_id).signal(signal.SIGSTOP)

    def resume_node(self, node_id: int) -> None:
        """Let a paused node go on."""
        self._node(node_id).signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise a BrokerError if a node ended and nobody asked it to."""
        for node in self._nodes.values():
            node.check()

    def _launch(self, java: Sequence[str], stop: threading.Event | None = None) -> None:
        """Start every node with this Java, or leave nothing behind."""
        deadline = Deadline.after(self._start_s)
        try:
            folder = DataFolder(self._data_dir, self._count)
            self._opened.callback(folder.close)
            self._create(folder, java)
            properties = broker_properties([node.voter for node in self._nodes.values()]) | self._properties
            for node in self._nodes.values():
                node.begin_format(folder.cluster_id, properties)
            for node in self._nodes.values():
                node.end_format(deadline)
            for node in self._nodes.values():
                node.start()
            self._until(partial(has_nodes, wanted=self._nodes), deadline, stop)
            self._until(lambda _: has_group_coordinator(self.bootstrap), deadline, stop)
        except BaseException:
            self._abandon()
            raise

    def _create(self, folder: DataFolder, java: Sequence[str]) -> None:
        """Make the nodes, none of which runs yet, and the group that their processes will be in."""
        ports = choose_ports(self._port, self._count)
        controllers = free_ports(self._count, taken=frozenset(ports))
        group = ProcessGroup(folder.path if folder.temporary else None, [folder.lock])
        self._opened.callback(group.close)
        for node_id, port, controller in zip(range(1, self._count + 1), ports, controllers, strict=True):
            place = folder.path / f"node-{node_id}"
            self._nodes[node_id] = Node(node_id, port, controller, place, java, self._java_flags, group)
            self._opened.callback(self._nodes[node_id].kill)

    def _until(
        self, ready: Callable[[AdminClient], bool], deadline: Deadline, stop: threading.Event | None = None
    ) -> None:
        """Wait until Kafka answers as it should, or say what its nodes said last."""
        client = silent_client(self.bootstrap)
        pause = stop or threading.Event()
        while not ready(client):
            self.check()
            if pause.is_set():
                raise StoppedError(f"the embedded Kafka at {self.bootstrap} was stopped before it served")
            if deadline.passed:
                words = "\n".join(f"{node}: {node.last_words()}" for node in self._nodes.values())
                raise BrokerError(
                    f"the embedded Kafka at {self.bootstrap} did not serve within {self._start_s:.0f} s: give it more "
                    f"time, memory or processor. Its last words:\n{words}"
                )
            pause.wait(POLL_S)

    def _node(self, node_id: int) -> Node:
        try:
            return self._nodes[node_id]
        except KeyError:
            raise BrokerError(f"the embedded Kafka has no node {node_id}: it has {list(self._nodes)}") from None

    def _stop_gracefully(self, deadline: Deadline) -> None:
        """Let every node write down what it has; one that takes too long is left to be killed."""
        running = [node for node in self._nodes.values() if node.running]
        for node in running:
            node.signal(signal.SIGTERM)
            node.signal(signal.SIGCONT)  # a paused one hears the first signal with this one
        for node in running:
            node.wait(deadline)

    def _abandon(self) -> None:
        """End what still runs and let go of everything, in the reverse order of its opening."""
        self._opened.close()
        self._nodes = {}


def serve(kafka: EmbeddedKafka, announce: Callable[[str], None]) -> None:
    """Start a cluster, announce its address once it serves, and hold it until SIGTERM or Ctrl-C.

    Runs in the main thread, whose handlers for the two signals it borrows.

    Raises:
        BrokerError: It cannot start, or a node ended by itself.
    """
    with stop_on_signals() as stop:
        try:
            with contextlib.suppress(StoppedError):
                kafka.start(stop)
                announce(kafka.bootstrap)
            while not stop.wait(POLL_S):
                kafka.check()
        finally:
            kafka.stop()


def _rehearse(java: Sequence[str], flags: Sequence[str]) -> None:
    """Start one broker with these flags and stop it gracefully."""
    rehearsal = EmbeddedKafka(java_flags=flags)
    rehearsal._launch(java)
    try:
        rehearsal.stop_node(1)
    finally:
        rehearsal.stop()
