"""Ends the process when a call into librdkafka does not come back.

When a broker is killed in the middle of it, `send_offsets_to_transaction` of librdkafka 2.16 waits for ever, whatever
timeout it was given (its issue 5456). Nothing inside the process can free that thread. The loop is made to be killed at
any moment, so that is what happens: the exit status says "try again", and whoever started the worker (`shadowbus up`,
Kubernetes, systemd) starts it anew.
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


class Patience:
    """Watches other threads' calls from a thread of its own.

    Args:
        seconds: How long a call may take that says nothing else, any timeout of its own included.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._calls: dict[object, tuple[str, float, float]] = {}
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="patience").start()

    @contextlib.contextmanager
    def during(self, call: str, seconds: float | None = None) -> Iterator[None]:
        """Name the call that is made inside the block, and how long it may take."""
        mine = object()
        self._calls[mine] = (call, monotonic(), self.seconds if seconds is None else seconds)
        try:
            yield
        finally:
            del self._calls[mine]

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            for call, since, seconds in list(self._calls.values()):
                if monotonic() - since > seconds:
                    logger.critical(
                        "%s has not come back for %.0f s; this worker ends, and is safe to start again.", call, seconds
                    )
                    logging.shutdown()
                    os._exit(EXIT_STATUS)
