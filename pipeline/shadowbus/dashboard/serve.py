"""Serve the page until the end is asked for."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from nicegui import app as nicegui
from nicegui import ui
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from shadowbus.dashboard.access import LOCAL, Access
from shadowbus.dashboard.page import Page
from shadowbus.dashboard.pages import make_room
from shadowbus.dashboard.reader import Reader
from shadowbus.dashboard.store import Running, Store
from shadowbus.errors import SettingsError
from shadowbus.models.configured import configured
from shadowbus.settings import Settings
from shadowbus.totals.definitions import MetricDefinitions

WATCH_S = 0.2


def serve(
    settings: Settings,
    again: Callable[[], Settings],
    host: str,
    port: int,
    token: str,
    stop: threading.Event,
    announce: Callable[[str], None],
) -> None:
    """Serve the page.

    Args:
        settings: How to reach Kafka.
        again: Reads the settings anew; what runs by them is asked while the page is served.
        host: Where to listen.
        port: The port; 0 takes a free one.
        token: What viewers have to know; empty for this machine only.
        stop: Set it to end.
        announce: Called with the address when it answers.

    Raises:
        SettingsError: The address cannot be taken.
    """
    listening = _listen(host, port)
    store = Store(_Asked(settings, again))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.page("/")(lambda: _page(store, settings.namespace))
    nicegui.add_exception_handler(404, _nothing)
    ui.run_with(
        app,
        title=f"shadowbus: {settings.namespace}",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
    )
    config = uvicorn.Config(
        Access(app, token, make_room), log_level="warning", ws_max_size=1_000_000, timeout_graceful_shutdown=2
    )
    server = _Server(config)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    with Reader(settings, store):
        watching = threading.Thread(target=_watch, args=(server, stop, lambda: announce(address)), daemon=True)
        watching.start()
        try:
            server.run(sockets=[listening])
        finally:
            stop.set()
            watching.join()


class _Asked:
    """What runs by the settings; by those that were right last where they cannot be read now."""

    def __init__(self, settings: Settings, again: Callable[[], Settings]) -> None:
        self._settings, self._again = settings, again

    def __call__(self) -> Running:
        with contextlib.suppress(SettingsError):
            self._settings = self._again()
        return Running(MetricDefinitions.of(self._settings).controls, configured(self._settings))


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def local(host: str) -> bool:
    """Whether only this machine reaches that host."""
    return host in LOCAL


def _page(store: Store, namespace: str) -> None:
    Page(store, namespace)


def _nothing(_: Request, __: Exception) -> PlainTextResponse:
    """In place of NiceGUI's own answer, which is a page like any other, built for every wrong address."""
    return PlainTextResponse("There is one page, at /.\n", 404)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(f"{host}:{port} cannot be listened on: {error.strerror or error}.") from error


def _watch(server: uvicorn.Server, stop: threading.Event, answers: Callable[[], None]) -> None:
    while not server.started and not stop.wait(WATCH_S):
        pass
    if server.started:
        answers()
    stop.wait()
    server.should_exit = True


logging.getLogger("nicegui").setLevel(logging.WARNING)
