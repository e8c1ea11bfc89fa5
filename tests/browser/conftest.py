"""One real broker, one real Chromium and one dashboard process for a module; each test has its own look at them."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from served import DESKTOP, START_S, Look, Namespace, Served, end, serve
from shadowbus.broker.cluster import EmbeddedKafka

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: Playwright's event loop runs as long, and tests elsewhere have loops of their own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = "Chromium is not installed: on Debian, `apt-get install chromium`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[EmbeddedKafka]:
    """A broker of the folder's own, as one test kills it; its data are kept."""
    with EmbeddedKafka(data_dir=tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="module")
def digits(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """Four trials as the demo has them, decided."""
    namespace = Namespace(kafka.bootstrap, tmp_path_factory.mktemp("digits"), "digits")
    for requests in [50] * 8 + [200] * 8:
        namespace.play(requests)
    return namespace


@pytest.fixture(scope="module")
def served(digits: Namespace) -> Iterator[Served]:
    """The dashboard of the four trials."""
    running = serve(digits)
    yield running
    assert end(running) == 0


@pytest.fixture
def look(browser: Browser, served: Served) -> Iterator[Look]:
    """A viewer: a browser of its own that allows no error on the page and no request to elsewhere."""
    contexts, errors, elsewhere = [], list[str](), list[str]()

    def opened(address: str = "", *, size: ViewportSize = DESKTOP, scheme: str = "light") -> Page:
        address = address or served.address
        dark = scheme == "dark"
        context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        place = address.partition("://")[2].partition("/")[0]
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: None if place in request.url else elsewhere.append(request.url))
        page.goto(address)
        page.get_by_role("heading", level=1).wait_for(timeout=START_S * 1000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors
    assert not [url for url in elsewhere if not url.startswith("data:")]
