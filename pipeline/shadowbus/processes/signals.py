"""SIGTERM and Ctrl-C become an event; a second Ctrl-C ends the process at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets. Runs in the main thread, whose handlers it borrows."""
    stop = threading.Event()
    reading, writing = os.pipe()

    def handle(number: int, _frame: FrameType | None) -> None:
        # An event has a lock, which the very thread that is interrupted here may hold; a pipe has none.
        os.write(writing, b"!")
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def relay() -> None:
        if os.read(reading, 1):
            stop.set()

    relaying = threading.Thread(target=relay, name="signals", daemon=True)
    relaying.start()
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        relaying.join()
        os.close(reading)
