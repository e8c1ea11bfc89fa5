"""One Kafka producer, and the thread that hears what became of its records.

`take` only copies the record into librdkafka's bounded queue (a few microseconds, never blocking, whatever the broker
does); librdkafka's own threads send it without Python's lock. The listening thread is the only one that ever waits.
"""

import contextlib
import ctypes
import logging
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shadowbus.capture.counters import BUFFER_FULL, DELIVERY_FAILED, KAFKA_ERROR, TOO_LARGE, UNSENT, Tallies
from shadowbus.clock import Deadline, monotonic

logger = logging.getLogger("shadowbus.capture")

_LISTEN_SECONDS = 0.2
_REST_SECONDS = 0.02  # between two listenings, so that reports come in batches and the GIL is taken less often
_LOG_EVERY_SECONDS = 60.0
_PURGE_SECONDS = 1.0
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class Courier:
    """Takes records to Kafka until it is closed, or until its producer is broken for good.

    Raises:
        KafkaException: librdkafka does not accept the configuration.
    """

    def __init__(self, config: Mapping[str, Any], tallies: Tallies) -> None:
        self._tallies = tallies
        self._quiet_until = 0.0
        self._done = threading.Event()
        self._retired = False
        self.broken = False
        """Whether librdkafka met a fatal error; it will take nothing more, and another courier has to."""
        callbacks = {"error_cb": self._on_error, "on_delivery": self._on_delivery}
        self._producer = Producer({**config, **callbacks})
        self._produce = self._producer.produce
        self._listener = threading.Thread(target=self._listen, name="shadowbus-capture", daemon=True)
        self._listener.start()

    def take(self, topic: str, key: bytes, value: bytes) -> str | None:
        """Put one record into the buffer, without waiting.

        Returns:
            None, or the reason it was not taken.
        """
        try:
            self._produce(topic, value, key)
        except BufferError:
            return BUFFER_FULL
        except KafkaException as error:
            return self._refusal(error.args[0])
        return None

    @property
    def waiting(self) -> int:
        """Records whose fate is not known yet (and, for a moment, complaints that nobody has heard yet)."""
        return len(self._producer)

    def retire(self) -> None:
        """Take nothing more; the listener goes on until the fate of all that is left is known."""
        self._retired = True

    def close(self, deadline: Deadline) -> int:
        """Send what is left until the deadline; what is not sent by then is given up and reported as unsent.

        Returns:
            How many records not even the giving up was reported for.
        """
        self._producer.flush(deadline.remaining())
        giving_up = Deadline.after(_PURGE_SECONDS)
        if self.waiting:
            self._producer.purge()
        while (left := self.waiting) and not giving_up.passed:
            self._producer.flush(0.1)
        self._done.set()
        self._listener.join(1.0)
        return left

    def keep_for_ever(self) -> None:
        """In a forked child: never let the parent's producer be destroyed, not even when the interpreter ends.

        Destroying it would wait for threads that exist only in the parent.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))

    def _listen(self) -> None:
        while not self._done.is_set() and not (self._retired and not self.waiting):
            self._producer.poll(_LISTEN_SECONDS)
            self._done.wait(_REST_SECONDS)

    def _refusal(self, error: KafkaError) -> str:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return TOO_LARGE
        self._note(error)
        return KAFKA_ERROR

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            return
        if error.code() in _PURGED:
            self._tallies.dropped[UNSENT].add()
        else:
            self._tallies.dropped[DELIVERY_FAILED].add()
            self._tallies.last_error = error.str()

    def _on_error(self, error: KafkaError) -> None:
        self._tallies.broker_errors.add()
        self._note(error)
        if monotonic() >= self._quiet_until:
            self._quiet_until = monotonic() + _LOG_EVERY_SECONDS
            with contextlib.suppress(Exception):  # a log handler that fails must not end the listening
                logger.warning("Kafka: %s. Production is not affected; capture goes on and counts.", error.str())

    def _note(self, error: KafkaError) -> None:
        self._tallies.last_error = error.str()
        if error.fatal() or error.code() == KafkaError._FATAL:
            self.broken = True
