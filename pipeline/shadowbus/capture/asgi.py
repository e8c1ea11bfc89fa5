"""Capture as ASGI middleware: what goes into and comes out of chosen routes is mirrored, the service stays as it is.

Not a byte is altered or held back: messages are handed on at once, copies are kept up to a bound, and everything else
happens once the last byte of the answer is out. What the app does after that (background tasks, a late exception)
neither changes nor delays the record. Only `expose_id` adds something: one response header.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from shadowbus.capture.exchange import Exchange, Message, Pick, Picks
from shadowbus.capture.mirror import Mirror
from shadowbus.capture.routes import Routes
from shadowbus.capture.tap import Tap

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ShadowTap:
    """Wraps an ASGI app; `app.add_middleware(ShadowTap, tap=tap, routes=["/predict"])` works too.

    By default a request's features are the `features` of its JSON body, or without one the whole body except its
    `segments` and `request_id`, which are taken from there too. An answer's `prediction`, `scores` and `model` are
    taken from its JSON body; a body that is not an object is the prediction itself. A 4xx is the service refusing and
    a 3xx it pointing elsewhere, not predicting: counted, not captured. A 5xx, an exception or a response that does not
    come to its end is a prediction with an error.

    The id is looked for in the header named by `request_id` (of the request, then of the response), then as
    `request_id` in the request body, then in the response body; without any of them it is a new one.

    Args:
        app: The app to watch.
        tap: Where to.
        routes: Paths to watch, as the app or as its clients write them, with `{name}` for one part and `*` for
            anything: `/predict`, `/models/{name}/predict`. A slash at the end makes no difference.
        features: Picks the features from the parsed request body.
        segments: Picks the segments from the parsed request body.
        prediction: Picks the prediction from the parsed response body.
        scores: Picks the scores from the parsed response body.
        request_id: A header that carries the request id, such as `x-request-id`.
        expose_id: Add the request id to the response, in that header (`x-request-id` by default), for later labels;
            a response that has the header keeps its own.
        max_body_bytes: Larger bodies pass untouched and are not captured.

    Raises:
        SettingsError: There is no route, or one that no path can match.
    """

    def __init__(
        self,
        app: App,
        tap: Tap,
        routes: Iterable[str],
        *,
        features: Pick | None = None,
        segments: Pick | None = None,
        prediction: Pick | None = None,
        scores: Pick | None = None,
        request_id: str | None = None,
        expose_id: bool = False,
        max_body_bytes: int = 1_000_000,
    ) -> None:
        self._app = app
        self._routes = Routes(routes)
        tap.looks_at(self._routes)
        self._expose_id = expose_id
        self._max_body_bytes = max_body_bytes
        self._mirror = Mirror(tap.recorder, Picks(features, segments, prediction, scores), request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only requests with a body to the chosen routes are watched."""
        if scope["type"] != "http" or not self._watches(scope):
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope.get("headers", ()), self._max_body_bytes)

        async def receive_and_watch() -> Message:
            message = await receive()
            with contextlib.suppress(Exception):  # a message we do not understand is the app's business, not ours
                exchange.received(message)
            return message

        async def watch_and_send(message: Message) -> None:
            with contextlib.suppress(Exception):
                exchange.sending(message)
                if self._expose_id and message["type"] == "http.response.start":
                    message = self._mirror.with_id(exchange, message)
            try:
                await send(message)
            except BaseException as error:
                exchange.failed(error)
                raise
            if exchange.answered.complete and exchange.ends():
                self._mirror.record(exchange)

        try:
            await self._app(scope, receive_and_watch, watch_and_send)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            if exchange.ends():
                self._mirror.record(exchange)

    def _watches(self, scope: Scope) -> bool:
        try:
            return self._routes.watches(scope["method"], scope["path"], scope.get("root_path") or "")
        except Exception:  # a scope we do not understand is the app's business, not ours
            return False
