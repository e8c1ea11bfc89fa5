"""Where records go: a bounded buffer that never blocks, survives forks and replaces broken couriers."""

import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException

from shadowbus.capture.counters import CLOSED, KAFKA_ERROR, TOO_LARGE, UNSENT, Tallies
from shadowbus.capture.courier import Courier
from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import SettingsError

RECORD_OVERHEAD_BYTES = 384
"""What librdkafka keeps for each waiting record beside its value (measured: 220 to 280), with something to spare."""

_RETRY_SECONDS = 1.0


def producer_config(kafka: Mapping[str, Any], max_buffer_bytes: int, max_record_bytes: int) -> dict[str, Any]:
    """The producer's properties; whatever `kafka` says wins.

    Half of the buffer's bytes are for values and half for the cost of keeping them, so that neither many small records
    nor few large ones take more memory than was allowed.
    """
    defaults: dict[str, Any] = {
        "partitioner": "murmur2_random",
        # No duplicates and no reordering when a request to Kafka is retried. The price is a state that may become
        # fatal; the outbox answers that with a new courier.
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 50,
        # A record that Kafka did not take for so long gives its place to a newer one; longer than most outages.
        "message.timeout.ms": 120_000,
        # librdkafka's own 10 s would come on top of every outage.
        "reconnect.backoff.max.ms": 1_000,
        "queue.buffering.max.kbytes": max(1, max_buffer_bytes // 2 // 1024),
        "queue.buffering.max.messages": max(1, max_buffer_bytes // 2 // RECORD_OVERHEAD_BYTES),
        "message.max.bytes": max(1_000, max_record_bytes + 4_096),
        # Only failures call back into Python; librdkafka's own log lines stay out of production's stderr.
        "delivery.report.only.error": True,
        "log.connection.close": False,
        "log_level": 0,
    }
    return {**defaults, **kafka}


class Outbox:
    """Takes records and has them carried to Kafka.

    Raises:
        SettingsError: librdkafka does not accept the configuration. An unreachable broker is no error.
    """

    def __init__(self, config: Mapping[str, Any], tallies: Tallies, max_record_bytes: int) -> None:
        self._config = config
        self._max_record_bytes = max_record_bytes
        self._tallies = tallies
        self._closed = False
        self._retry_at = 0.0
        self._earlier: list[Courier] = []
        self._lock = threading.RLock()
        try:
            self._courier: Courier | None = Courier(config, tallies)
        except (KafkaException, TypeError, ValueError) as error:
            raise SettingsError(f"The Kafka client does not accept its settings: {_plainly(error)}.") from error

    def put(self, topic: str, key: bytes, value: bytes) -> str | None:
        """Take one record without waiting.

        Returns:
            None, or the reason it was not taken.
        """
        if len(value) > self._max_record_bytes:
            return TOO_LARGE
        courier = self._courier
        if courier is None or courier.broken:
            courier = self._renewed()
            if courier is None:
                return CLOSED if self._closed else KAFKA_ERROR
        return courier.take(topic, key, value)

    def waiting(self) -> int:
        """Records in the buffer or on their way."""
        with self._lock:
            couriers = [*self._earlier, *([self._courier] if self._courier else [])]
        return sum(courier.waiting for courier in couriers)

    def close(self, deadline: Deadline) -> None:
        """Take nothing more, and send what is left until the deadline. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            if self._courier is not None:
                self._earlier.append(self._courier)
            self._courier = None
            couriers = list(self._earlier)
        leftover = sum(courier.close(deadline) for courier in couriers)
        with self._lock:
            self._earlier = [courier for courier in self._earlier if courier not in couriers]
        for _ in range(leftover):
            self._tallies.dropped[UNSENT].add()

    def after_fork(self) -> None:
        """In the child: leave the parent's couriers alone for ever; the first record makes a new one."""
        self._lock = threading.RLock()
        for courier in [*self._earlier, *([self._courier] if self._courier else [])]:
            courier.keep_for_ever()
        self._earlier = []
        self._courier = None
        self._retry_at = 0.0

    def _renewed(self) -> Courier | None:
        with self._lock:
            if self._courier is not None and not self._courier.broken:
                return self._courier
            if self._closed or monotonic() < self._retry_at:
                return None
            self._retry_at = monotonic() + _RETRY_SECONDS
            if self._courier is not None:
                self._courier.retire()
                self._earlier = [courier for courier in [*self._earlier, self._courier] if courier.waiting]
                self._courier = None
            try:
                self._courier = Courier(self._config, self._tallies)
            except (KafkaException, OSError, RuntimeError) as error:  # no threads or files left: try again later
                self._tallies.last_error = _plainly(error)
            return self._courier


def _plainly(error: Exception) -> str:
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return inner.str() if hasattr(inner, "str") else str(inner)
