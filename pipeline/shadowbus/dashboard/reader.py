"""The one reader: a thread that follows the topics, whoever looks, and starts over when Kafka was away."""

import logging
import threading

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.dashboard.store import Store
from shadowbus.errors import ShadowbusError
from shadowbus.kafka.permissions import explained
from shadowbus.kafka.read.live import Wanted, watch
from shadowbus.settings import Settings
from shadowbus.topology import AGGREGATES, COMPARISONS, OUTCOMES, VERDICTS

NEWEST = 2_000
WANTED = (Wanted(AGGREGATES), Wanted(VERDICTS), Wanted(COMPARISONS, NEWEST), Wanted(OUTCOMES, NEWEST))
START_S = 15.0
AGAIN_S = 1.0
SHOW_S = 0.25

logger = logging.getLogger("shadowbus.dashboard")


class Reader:
    """Feeds a store until it is closed."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except ShadowbusError as error:
                words = explained(error, self._settings, ("dashboard",))
                logger.warning("%s", words)
                self._store.show("lost", words, now_ms())
            except Exception:
                logger.exception("The reader failed; it starts over.")
                self._store.show("lost", "The page's reader failed and starts over; its log says why.", now_ms())
            self._stop.wait(AGAIN_S)

    def _follow(self) -> None:
        shown_at, complete = 0.0, False
        first = True
        for news in watch(self._settings, WANTED, self._stop, Deadline.after(START_S)):
            if first:
                self._store.forget()
                first = False
            self._store.take(news.batches)
            complete = complete or news.complete
            if monotonic() - shown_at >= SHOW_S:
                shown_at = monotonic()
                if not news.connected:
                    self._store.show("lost", "Kafka does not answer.", now_ms())
                elif complete:
                    self._store.show("live", "", now_ms())
