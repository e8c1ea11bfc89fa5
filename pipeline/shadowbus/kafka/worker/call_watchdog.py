"""Ends the process when a call into librdkafka hangs.

When a broker is killed during it, `send_offsets_to_transaction` of librdkafka 2.16 never returns, whatever its timeout
(librdkafka issue 5456). Nothing in the process can free that thread. The loop is safe to kill at any moment, so the
watchdog kills it: the exit status means "try again", and whoever started the worker (`shadowbus up`, Kubernetes,
systemd) restarts it.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from shadowbus.clock import monotonic

logger = logging.getLogger("shadowbus.kafka")

EXIT_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: a later try may succeed."""


class CallWatchdog:
    """Watches calls of other threads from its own thread.

    Args:
        seconds: The longest time that a call may take, unless it names another; its own timeout is part of it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._calls: dict[object, tuple[str, float, float]] = {}
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="call watchdog").start()

    @contextlib.contextmanager
    def during(self, call: str, seconds: float | None = None) -> Iterator[None]:
        """Watch the call inside the block; `seconds` is the longest that it may take."""
        mine = object()
        self._calls[mine] = (call, monotonic(), self.seconds if seconds is None else seconds)
        try:
            yield
        finally:
            del self._calls[mine]

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            for call, since, seconds in list(self._calls.values()):
                if monotonic() - since > seconds:
                    logger.critical(
                        "%s has hung for %.0f s; exiting so that this worker can be restarted (safe)", call, seconds
                    )
                    logging.shutdown()
                    os._exit(EXIT_STATUS)
