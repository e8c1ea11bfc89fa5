"""One Kafka producer, and the listener that hears what became of its records.

`take` only copies the record into librdkafka's bounded queue (a few microseconds, never blocking, whatever the broker
does); librdkafka's own threads send it without Python's lock. The listener never waits inside of librdkafka either: it
asks what has happened, and pauses. Where threads are real ones it is a thread; where gevent or eventlet have replaced
them it is a green one, and a wait in C would hold up every request of the process (docs/decisions/0027). It shares
nothing but plain attributes with whoever captures, so that no lock is ever taken from both worlds.
"""

import _thread
import contextlib
import ctypes
import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shadowbus.capture.counters import BUFFER_FULL, DELIVERY_FAILED, KAFKA_ERROR, TOO_LARGE, UNSENT, Tallies
from shadowbus.clock import Deadline, monotonic, pausing

logger = logging.getLogger("shadowbus.capture")

_PAUSE_SECONDS = 0.05  # between two looks: reports come in batches, and Python's lock is taken less often
_CLOSING_SECONDS = 0.01
_MOST_FAILED = 500  # in one look: each is a call into Python, and a full buffer of them would hold up a green server
_LOG_EVERY_SECONDS = 60.0
_PURGE_SECONDS = 1.0
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class _EnoughError(Exception):
    """Ends one look of the listener: what a callback raises comes out of `poll`, which leaves the rest for later."""


class Courier:
    """Takes records to Kafka until it is closed, or until its producer is broken for good.

    Raises:
        KafkaException: librdkafka does not accept the configuration.
    """

    def __init__(self, config: Mapping[str, Any], tallies: Tallies) -> None:
        self._tallies = tallies
        self._quiet_until = 0.0
        self._done = False
        self._retired = False
        self._listening = False
        self._failed = 0
        self.broken = False
        """Whether librdkafka met a fatal error; it will take nothing more, and another courier has to."""
        callbacks = {"error_cb": self._on_error, "on_delivery": self._on_delivery}
        self._producer = Producer({**config, **callbacks})
        self._produce = self._producer.produce
        self._start_listening()

    def take(self, topic: str, key: bytes, value: bytes) -> str | None:
        """Put one record into the buffer, without waiting.

        Returns:
            None, or the reason it was not taken.
        """
        try:
            self._produce(topic, value, key)
        except BufferError:
            if not self._listening:  # somebody ended it, as a service may end all of its greenlets
                self._start_listening()
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
        pause = pausing()
        while self._flushed() and not deadline.passed:
            pause(_CLOSING_SECONDS)
        giving_up = Deadline.after(_PURGE_SECONDS)
        if self.waiting:
            self._producer.purge()
        while (left := self._flushed()) and not giving_up.passed:
            pause(_CLOSING_SECONDS)
        self._done = True
        while self._listening and not giving_up.passed:
            pause(_CLOSING_SECONDS)
        return left

    def keep_for_ever(self) -> None:
        """In a forked child: never touch the parent's producer, nor let it be destroyed when the interpreter ends.

        Either could wait for threads that exist only in the parent. A green listener, unlike a thread, is copied by a
        fork: it ends at its next look.
        """
        self._done = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))

    def _start_listening(self) -> None:
        """Neither `threading.Thread` nor its events: starting one waits for it, and a green one would run meanwhile."""
        self._listening = True
        _thread.start_new_thread(self._listen, (pausing(),))

    def _listen(self, pause: Callable[[float], None]) -> None:
        try:
            while not self._done and not (self._retired and not self.waiting):
                pause(0 if self._heard_enough(self._producer.poll) else _PAUSE_SECONDS)
        finally:
            self._listening = False

    def _heard_enough(self, ask: Callable[[float], int]) -> bool:
        """Hear what there is to hear, without waiting; whether it was left before its end."""
        self._failed = 0
        try:
            ask(0)
        except _EnoughError:
            return True
        return False

    def _flushed(self) -> int:
        """Have everything sent at once and hear what there is to hear, without waiting; how many are left."""
        self._heard_enough(self._producer.flush)
        return self.waiting

    def _refusal(self, error: KafkaError) -> str:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return TOO_LARGE
        self._note(error)
        return KAFKA_ERROR

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        if error.code() in _PURGED:
            self._tallies.dropped[UNSENT].add()
        else:
            self._tallies.dropped[DELIVERY_FAILED].add()
            self._tallies.last_error = f"{message.topic()}: {error.str()}"
        self._failed += 1
        if self._failed >= _MOST_FAILED:
            raise _EnoughError

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
