"""The tap: what a production service holds. In go requests, predictions and labels; out come Kafka records.

Rule zero: the production answer always comes back. After construction nothing here raises or blocks, whatever the
features, the broker or the process do; what could not be captured is counted (`Tap.counters`). Construction raises for
a programmer's mistake, never for a broker that is away.
"""

import atexit
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from shadowbus.capture.call import Call
from shadowbus.capture.counters import Counters, Tallies
from shadowbus.capture.ids import given_id
from shadowbus.capture.outbox import Outbox, producer_config
from shadowbus.capture.recorder import Recorder
from shadowbus.capture.routes import Routes
from shadowbus.capture.sampling import Sampler
from shadowbus.capture.watch import Pick, Watch
from shadowbus.clock import Deadline
from shadowbus.errors import SettingsError
from shadowbus.limits import MAX_MODEL_CHARACTERS, is_model

P = ParamSpec("P")
R = TypeVar("R")

TOPICS = ("requests", "predictions", "labels")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MODEL = re.compile(r"[^@\s]+@[^@\s]+")

_open: "dict[int, Tap]" = {}
"""Every tap that was not closed, kept alive: a decorated function or a middleware may be all that still uses it."""


class Tap:
    """Publishes what production was asked and what it answered.

    Args:
        namespace: Topics are `<namespace>.requests`, `<namespace>.predictions` and `<namespace>.labels`.
        kafka: Any librdkafka producer property; `bootstrap.servers` is needed, and what is given here wins.
        model: The live model, `name@version`.
        sample: The share of requests to capture, from 0 to 1, decided by the request id (see `sampling`).
        topics: Full names for some of the three topics, where they are not the namespace's.
        max_buffer_bytes: The most memory that records waiting for Kafka may take.
        max_record_bytes: Larger records are dropped and counted.
        flush_seconds: How long the end of the process may wait for Kafka.

    Raises:
        SettingsError: A value is not usable; the message says which. An unreachable broker is no error.
    """

    def __init__(
        self,
        namespace: str,
        kafka: Mapping[str, Any],
        *,
        model: str,
        sample: float = 1.0,
        topics: Mapping[str, str] | None = None,
        max_buffer_bytes: int = 64 * 1024 * 1024,
        max_record_bytes: int = 1_000_000,
        flush_seconds: float = 5.0,
    ) -> None:
        _check(namespace, kafka, model, topics or {})
        sampler = Sampler(sample)
        self._flush_seconds = flush_seconds
        self._tallies = Tallies()
        self._routes: list[Routes] = []
        config = producer_config(kafka, max_buffer_bytes, max_record_bytes)
        self._outbox = Outbox(config, self._tallies, max_record_bytes)
        self.recorder = Recorder(
            self._outbox,
            self._tallies,
            sampler,
            topics={name: f"{namespace}.{name}" for name in TOPICS} | dict(topics or {}),
            model=model,
            max_record_bytes=max_record_bytes,
        )
        _open[id(self)] = self

    def request(
        self, features: object, *, segments: object = None, request_id: object = None, context: object = None
    ) -> Call:
        """Watch one request: `with tap.request(features) as call: call.prediction = model(features)`.

        Args:
            features: What the model is asked: an object or a list (also numpy, dataclasses, pydantic models).
            segments: Named slices of the traffic, such as `{"country": "DE"}`.
            request_id: An id the service has anyway (text, integer or UUID); without one a new one is made.
            context: Whatever else should travel with the request; no model sees it.
        """
        return Call(self.recorder, request_id, features, segments, context)

    def watch(
        self,
        *,
        features: Pick | None = None,
        segments: Pick | None = None,
        context: Pick | None = None,
        request_id: Pick | None = None,
        prediction: Pick | None = None,
        scores: Pick | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a sync or async function whose arguments are the request and whose result is the prediction.

        Args:
            features: From the arguments; by default the only argument, or all of them by name.
            segments: From the arguments.
            context: From the arguments.
            request_id: From the arguments.
            prediction: From the result; by default the result itself.
            scores: From the result.
        """
        questions = {"features": features, "segments": segments, "context": context, "request_id": request_id}
        answers = {"prediction": prediction, "scores": scores}
        return Watch(self.recorder, questions, answers).around

    def label(
        self,
        request_id: object,
        label: object,
        timestamp_ms: int | None = None,
        *,
        probability: float | None = None,
    ) -> None:
        """Say what really happened to a request, at once or days later, from whatever process knows it.

        Args:
            request_id: The id of the request.
            label: What really happened, any JSON value.
            timestamp_ms: When, in milliseconds since the epoch; else now. A time in another unit is not taken.
            probability: With which `shadowbus label-queue` chose the request, where it did.
        """
        self.recorder.label(given_id(request_id), label, timestamp_ms, probability)

    def counters(self) -> Counters:
        """What became of every record so far, in this process."""
        seen = sum(one.seen.value for one in self._routes)
        matched = sum(one.matched.value for one in self._routes)
        return self._tallies.snapshot(self._outbox.waiting, seen, matched)

    def looks_at(self, routes: Routes) -> None:
        """Count the requests that come by these routes, and say at the end if none was to one of them."""
        self._routes.append(routes)

    def close(self, timeout: float | None = None) -> Counters:
        """Send what is buffered, waiting at most `timeout` seconds (default: `flush_seconds`), and stop.

        The only method that waits: under asyncio use `await asyncio.to_thread(tap.close)`. What is captured afterwards
        is counted as `closed`. Called by itself at the end of the process.
        """
        for routes in self._routes:
            routes.tell()
        self._outbox.close(Deadline.after(self._flush_seconds if timeout is None else timeout))
        _open.pop(id(self), None)
        return self.counters()

    def _after_fork(self) -> None:
        self._outbox.after_fork()
        self._tallies.reset()
        for routes in self._routes:
            routes.reset()
        self.recorder.ids.renew()


def _check(namespace: object, kafka: Mapping[str, Any], model: object, topics: Mapping[str, str]) -> None:
    if not isinstance(namespace, str) or not _NAME.fullmatch(namespace):
        raise SettingsError(f"A namespace is letters, digits, dots, dashes and underscores, not {namespace!r}.")
    if not isinstance(model, str) or not _MODEL.fullmatch(model) or not is_model(model):
        raise SettingsError(
            f'model has to be "name@version", such as "churn@3", without "|" or "~" and of at most '
            f"{MAX_MODEL_CHARACTERS} characters, not {model!r}."
        )
    if not kafka.get("bootstrap.servers"):
        raise SettingsError('kafka needs "bootstrap.servers", such as "localhost:9092".')
    if unknown := sorted(set(topics) - set(TOPICS)):
        raise SettingsError(f"topics names {', '.join(TOPICS)}; it does not know {', '.join(unknown)}.")


@atexit.register
def _close_all() -> None:
    for tap in list(_open.values()):
        tap.close()


def _renew_all() -> None:
    for tap in list(_open.values()):
        tap._after_fork()


os.register_at_fork(after_in_child=_renew_all)
