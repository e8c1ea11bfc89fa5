"""The live page and the report in a real browser, with names of ill will at every place that names something."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ill_names import MARKUP, OTHER, PROTOTYPE, TABLES, TERMINAL
from served import DESKTOP, START_S, Namespace, Served, end, serve
from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.report.document import document
from shadowbus.report.drawing import drawn
from shadowbus.report.sources import from_backtest
from shadowbus.report.writing import html
from staged import Character, Staged, settings

pytestmark = [pytest.mark.kafka, pytest.mark.browser, pytest.mark.timeout(300)]

CAST = {"good": Character(0.97), "evil": Character(0.7, failing=0.1)}
CLASSES = {
    "prototype": PROTOTYPE,
    "cut": tuple(f"{name}{'x' * 60 if long else chr(10) + name}" for name in PROTOTYPE[:7] for long in (0, 1)),
    "markup": MARKUP,
    "odd": (*TERMINAL[:4], *TABLES[:4], *OTHER[:6], *OTHER[-5:]),
}

UNTOUCHED = """() => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  const own = (of) => Object.getOwnPropertyNames(of).sort();
  const found = [];
  for (const kind of ["Object", "Array", "Function", "String", "Map"]) {
    const [here, there] = [window[kind].prototype, frame.contentWindow[kind].prototype];
    const more = own(here).filter((name) => !own(there).includes(name));
    if (more.length) found.push([kind, more]);
    for (const name of own(there)) {
      const [a, b] = [Object.getOwnPropertyDescriptor(here, name), Object.getOwnPropertyDescriptor(there, name)];
      if (!a || typeof a.value !== typeof b.value) { found.push([kind, name]); continue; }
      if (typeof a.value === "function" && name !== "constructor" && String(own(a.value)) !== String(own(b.value)))
        found.push([kind, name, own(a.value)]);
    }
  }
  const extra = own(Object).filter((name) => !own(frame.contentWindow.Object).includes(name));
  if (extra.length) found.push(["Object itself", extra]);
  frame.remove();
  return found;
}"""
"""What of the language's own objects is not as in a frame in which nothing has run."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    errors = list[str]()
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.mark.parametrize("kind", CLASSES)
def test_names_of_classes_and_segments_change_nothing_in_the_live_page(
    page: Page, kafka: EmbeddedKafka, tmp_path: Path, kind: str
) -> None:
    names = CLASSES[kind]
    namespace = Namespace(kafka.bootstrap, tmp_path, f"ill-{kind}", CAST, classes=names, segments=(names[0], names[1]))
    namespace.play(150)
    running = serve(namespace)
    try:
        look_at(page, running)
    finally:
        end(running)


def look_at(page: Page, running: Served) -> None:
    page.goto(running.address)
    page.get_by_role("heading", level=1).wait_for(timeout=START_S * 1000)
    page.locator(".chart svg").filter(visible=True).nth(4).wait_for()
    for chart in page.locator(".chart svg").filter(visible=True).all()[:8]:
        chart.hover()
    for shadow in ("evil@1", "good@1"):
        page.locator("button.trial", has_text=shadow).click()
        expect(page.locator("h2.detail")).to_have_text(f"{shadow}: why, or why not?")
    heat = page.get_by_role("img", name=re.compile("answers differ"))
    box = heat.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for label in ("Segment", "Live said"):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option").nth(1).click()
    expect(page.locator("table.examples tbody tr, main p", has_text=re.compile("."))).not_to_have_count(0)
    assert page.evaluate(UNTOUCHED) == []
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script, main iframe, main a").count() == 0


def test_names_change_nothing_in_the_report(page: Page, tmp_path: Path) -> None:
    for kind, names in CLASSES.items():
        folder, staged = tmp_path / kind, Staged(settings(shadow=[{"name": n, "model": n} for n in CAST]), CAST)
        staged.classes, staged.segments = names, (names[0], names[1])
        folder.mkdir()
        for one in staged.play(300):
            with (folder / f"{one.topic}.jsonl").open("ab") as lines:
                lines.write((one.value or b"") + b"\n")
        known = from_backtest(folder)
        made = document(known.told, source=kind, made_ms=staged.now_ms, draw=drawn)
        (folder / "report.html").write_text(html(made), encoding="utf-8")
        page.goto((folder / "report.html").as_uri())
        assert page.locator("svg").count() > 3
        said = page.locator("svg text").all_text_contents()
        assert not [text for text in said if "function" in text or "[object" in text or text.startswith("NaN")]
        assert page.evaluate(UNTOUCHED) == []
        assert page.evaluate("window.pwned") is None
        assert page.locator("img, script, iframe").count() == 0
