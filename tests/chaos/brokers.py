"""The brokers of a round: killed and started again beside everything else, one at a time."""

import threading
import time
from collections.abc import Callable, Iterable

from chaos.schedule import Event
from shadowbus.broker.cluster import EmbeddedKafka

RECOVERY_S = 3.0
"""The least time between a broker that serves again and the next one that is killed."""


class Brokers:
    """Carries out the events that concern brokers, in a thread of its own: a start takes seconds.

    Args:
        kafka: The cluster.
        events: What is done to its nodes: kill, start, kill, start...
        say: Told what happened.
    """

    def __init__(self, kafka: EmbeddedKafka, events: Iterable[Event], say: Callable[[str], None]) -> None:
        self.kafka, self.events, self.say = kafka, list(events), say
        self.error: BaseException | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(time.monotonic(),), daemon=True)
        self.thread.start()

    def settle(self, seconds: float) -> None:
        """Wait until the last one serves again."""
        self.thread.join(seconds)
        if self.error is not None:
            raise self.error
        assert not self.thread.is_alive(), "a broker does not come back"

    def end(self) -> None:
        """Do no more."""
        self.over.set()
        self.thread.join(120)

    def _run(self, began: float) -> None:
        try:
            late = 0.0
            for event in self.events:
                now = time.monotonic() - began
                if self.over.wait(max(0.0, event.at + late - now)):
                    return
                late = max(0.0, time.monotonic() - began - event.at)
                self._do(event.deed, int(event.whom.partition("-")[2]))
        except BaseException as error:
            self.error = error

    def _do(self, deed: str, node: int) -> None:
        if deed == "kill":
            self.say(f"kill -9 broker {node}")
            self.kafka.kill_node(node)
            return
        self.say(f"start broker {node}")
        self.kafka.start_node(node)
        self.say(f"broker {node} serves again")
        self.over.wait(RECOVERY_S)
