"""The report in a real Chromium, without a network: on screens, on a phone, on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from served import PICTURES
from shadowbus.report.document import document
from shadowbus.report.drawing import drawn
from shadowbus.report.sources import from_backtest
from shadowbus.report.writing import html
from staged import Staged, settings

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the demo's four shadows, as a backtest of them has it."""
    folder, staged = tmp_path_factory.mktemp("backtest"), Staged(settings())
    for requests in [100] * 4 + [300] * 8:
        for one in staged.play(requests):
            with (folder / f"{one.topic}.jsonl").open("ab") as lines:
                lines.write((one.value or b"") + b"\n")
    known = from_backtest(folder)
    made = document(
        known.told, source="namespace digits", made_ms=staged.now_ms, draw=drawn, trial="champion@1~better@1"
    )
    (folder / "one.html").write_text(html(made))
    made = document(known.told, source="namespace digits", made_ms=staged.now_ms, draw=drawn)
    (folder / "report.html").write_text(html(made))
    return folder / "report.html"


@pytest.fixture
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith("file:") else None)
    page.goto(file.as_uri())
    yield page
    context.close()
    assert said == []


DESKTOP_LIGHT, DESKTOP_DARK, PHONE = (1180, "light"), (1180, "dark"), (390, "light")


@pytest.mark.parametrize("opened", [DESKTOP_LIGHT, DESKTOP_DARK, PHONE], indirect=True, ids=["light", "dark", "phone"])
def test_it_can_be_read_on_any_screen(opened: Page, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    assert opened.get_by_role("heading", level=1).inner_text() == "Promote better@1. Send back crasher@1 and worse@1."
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert opened.evaluate(cut) == 0, "a table is cut"
    least = opened.evaluate(CONTRAST)
    assert least[0] >= 4.5, least
    PICTURES.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=PICTURES / f"report-{name}.png", full_page=True)


@pytest.mark.parametrize("opened", [DESKTOP_LIGHT], indirect=True)
def test_it_prints_light_with_each_trial_on_a_page_of_its_own(opened: Page, file: Path) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = opened.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") + paper.count(b"/Type/Page/") >= 5
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "report.pdf").write_bytes(paper)


@pytest.mark.parametrize("opened", [DESKTOP_LIGHT], indirect=True)
def test_the_picture_of_the_documentation(opened: Page, file: Path) -> None:
    opened.goto((file.parent / "one.html").as_uri())
    assert "Yes, promote better@1" in opened.get_by_role("heading", level=1).inner_text()
    size = opened.screenshot(
        path=PICTURES / "report.png", clip={"x": 0, "y": 0, "width": 1180, "height": 1500}, full_page=True
    )
    assert len(size) > 50_000


CONTRAST = """() => {
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [99, ""];
  for (const node of document.querySelectorAll("h1,h2,h3,p,td,th,li,dt,dd,span,code,figcaption,footer,a,b")) {
    if (!node.innerText || !node.innerText.trim()) continue;
    const [one, two] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < least[0]) least = [ratio, node.innerText.slice(0, 60)];
  }
  return least;
}"""
