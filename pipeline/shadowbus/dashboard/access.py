"""Who may see the page: anybody on this machine, or whoever has the token. An ASGI application around another one.

What stands in the address (`?token=…`) becomes a cookie that scripts cannot read, and goes from the address. Requests
that name another host (a name that was rebound to this address), come from another origin or were made by another
page are refused before anything is built for them; and a policy tells the browser to load nothing from elsewhere.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shadowbus.dashboard.guesses import Guesses

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
PAGE = "/"
PARTS = ("/_nicegui/", "/_nicegui_ws/")
"""Where the page's own scripts, styles and socket are."""
COOKIE = "shadowbus_ticket"
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
REFUSED = "This page needs its token: open the address that `shadowbus dashboard` printed, with ?token=… at its end.\n"
CLICKED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-user": "?1"}
"""What a browser says of a link that a person clicked on."""


class Access:
    """The guard.

    Args:
        app: What it guards.
        token: What has to be known; empty where anybody on this machine may look.
        room: Asked with a viewer's address whether one more page may be built.
    """

    def __init__(self, app: ASGIApp, token: str, room: Callable[[str], bool] = lambda _: True) -> None:
        self._app, self._token, self._room = app, token, room
        self._ticket = secrets.token_urlsafe(32)  # in the cookie, since guesses of the token are slowed and its are not
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = self._answer(scope, Headers(scope=scope))
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, _with_headers(send))

    def _answer(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """What is answered in the application's place."""
        refused = self._elsewhere(headers) or self._stranger(scope, headers)
        if refused is not None:
            return refused
        path = scope["path"]
        if path.startswith(PARTS):
            return None
        if path != PAGE or scope["type"] != "http":
            return PlainTextResponse("There is one page, at /.\n", 404)
        if scope["method"] == "GET" and not self._room(_address(scope)):
            return PlainTextResponse("Too many pages are open: close some.\n", 503)
        return None

    def _elsewhere(self, headers: Mapping[str, str]) -> Response | None:
        """The refusal of what does not come from this page, or from a person."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._token and _place(f"//{host}") not in LOCAL:
            return PlainTextResponse("This page is for this machine only.\n", 403)
        from_elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        clicked = all(headers.get(name) == value for name, value in CLICKED.items())
        if (origin is not None and _netloc(origin) != host) or (from_elsewhere and not clicked):
            return PlainTextResponse("Requests from other pages are refused.\n", 403)
        return None

    def _stranger(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """The refusal of who does not know the token, or the way on for who does."""
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if not self._token or _same(cookie, self._ticket):
            return None
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if not given or scope["type"] != "http":
            return PlainTextResponse(REFUSED, 401)
        address = _address(scope)
        wait_s = math.ceil(self._guesses.wait_s(address))
        if wait_s:
            again = {"Retry-After": str(wait_s)}
            return PlainTextResponse(f"Too many wrong tokens: wait {wait_s} s.\n", 429, again)
        if not _same(given, self._token):
            self._guesses.wrong(address)
            return PlainTextResponse(REFUSED, 401)
        response = RedirectResponse("./", 303)  # never where the request's path says
        safe = scope.get("scheme") == "https"  # as the proxy in front says
        response.set_cookie(COOKIE, self._ticket, secure=safe, httponly=True, samesite="lax")  # links in chats work
        return response


def _same(given: str, known: str) -> bool:
    """Compared in a time that tells nothing, not even of the length."""
    return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), hashlib.sha256(known.encode()).digest())


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _place(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
