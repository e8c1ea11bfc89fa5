"""The live page in a real browser, over a real Kafka."""

import re
from pathlib import Path

import orjson
import psutil
import pytest
from confluent_kafka.admin import AdminClient
from playwright.sync_api import Browser, Page, ViewportSize, expect

from served import DESKTOP, PHONE, PICTURES, START_S, Look, Namespace, Served, end, serve, until
from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.clock import monotonic
from staged import CLASSES, Character

pytestmark = [pytest.mark.kafka, pytest.mark.browser, pytest.mark.timeout(300)]

LIVE_S = 2.0
SLOW = 5.0
"""How many times as long a slow machine may take."""

HOSTILE = (
    '<img src=x onerror="window.pwned=1">',
    "<script>window.pwned=1</script>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "javascript:window.pwned=1",
    "{a|b} {b} </text><script>window.pwned=1</script>",
)


def picture(page: Page, name: str, *, whole: bool = False) -> int:
    """A screenshot, kept; its size in bytes."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return len(page.screenshot(path=PICTURES / f"{name}.png", full_page=whole))


def card(page: Page, shadow: str) -> str:
    return page.locator("button.trial", has_text=shadow).inner_text()


def test_the_first_screen_says_which_shadow_to_promote_and_why(look: Look) -> None:
    page = look()
    expect(page.get_by_role("heading", level=1)).to_have_text("Promote better@1. Send back crasher@1 and worse@1.")
    assert "PROMOTE" in card(page, "better@1")
    assert "It is right" in card(page, "worse@1")
    assert "It fails on" in card(page, "crasher@1")
    assert "CONTROL" in card(page, "control@1")
    expect(page.get_by_text("The harness is fine")).to_be_visible()
    bottom = page.get_by_text("The harness is fine").bounding_box()
    assert bottom is not None
    assert bottom["y"] + bottom["height"] < DESKTOP["height"]
    expect(page.get_by_role("status")).to_have_text("live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_can_be_read_on_every_screen(look: Look, scheme: str, size: ViewportSize) -> None:
    page = look(size=size, scheme=scheme)
    page.locator(".chart svg").nth(5).wait_for()
    name = f"{'desktop' if size is DESKTOP else 'phone'}-{scheme}"
    assert picture(page, name) < 300_000
    picture(page, f"{name}-whole", whole=True)
    for place, part in (("criteria", ".grid >> nth=0"), ("differences", ".grid.wide")):
        page.locator(part).first.screenshot(path=PICTURES / f"{name}-{place}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], "it scrolls sideways"
    assert page.evaluate(CONTRASTS) == []
    if size is PHONE:
        page.locator("table.examples tbody tr").first.wait_for()
        tables = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(tables) == 0, "a table is cut"
        broken = "[...document.querySelectorAll('table.rows tbody th')].filter(one => one.clientHeight > 30).length"
        assert page.evaluate(broken) == 0, "a name is broken"
        page.locator("table.examples").screenshot(path=PICTURES / f"{name}-examples.png")
        page.locator("table.rows").first.screenshot(path=PICTURES / f"{name}-segments.png")


def test_a_new_record_is_on_the_page_within_two_seconds(look: Look, digits: Namespace) -> None:
    page = look()
    before = requests_shown(page)
    digits.play(20)
    started = monotonic()
    expect(page.locator("button.trial", has_text="better@1")).to_contain_text(
        f"{before + 20:,} requests", timeout=LIVE_S * SLOW * 1000
    )
    took = monotonic() - started
    print(f"on the page after {took:.2f} s")  # noqa: T201


def test_another_trial_is_a_click_or_a_key_away(look: Look) -> None:
    page = look()
    worse = page.locator("button.trial", has_text="worse@1")
    worse.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h2.detail")).to_have_text("worse@1: why, or why not?")
    expect(worse).to_have_attribute("aria-pressed", "true")
    expect(page.locator("article", has_text="Accuracy, compared with live").first).to_contain_text("fails")
    expect(page.locator("table.rows tr.harmed").first).to_contain_text("day=weekend")


def test_requests_are_filtered_by_segment_and_by_who_was_right(look: Look) -> None:
    page = look()
    choose(page, "Segment", "day=weekend")
    choose(page, "Who was right", "only the shadow")
    expect(page.locator("table.examples tbody tr").first).to_contain_text("day=weekend")
    expect(page.locator("table.examples tbody tr", has_text="day=weekday")).to_have_count(0)
    right = page.locator("table.examples tbody tr td:nth-child(6)")
    expect(right.filter(has_not_text="only the shadow")).to_have_count(0)
    expect(right.first).to_have_text("only the shadow")
    page.locator("table.examples summary").first.click()
    expect(page.locator("pre.features").first).to_contain_text("pixel_12")


def test_a_click_on_a_cell_shows_such_requests(look: Look) -> None:
    page = look()
    chart = page.get_by_role("img", name=re.compile("answers differ"))
    chart.scroll_into_view_if_needed()
    said = chart.locator("svg text").all_text_contents()
    box = chart.bounding_box()
    assert box is not None
    assert {"live said", "the shadow said"} <= set(said)
    cell = (box["width"] - 72) / 10, (box["height"] - 52) / 10
    column, row = 3, 5
    page.mouse.click(box["x"] + 64 + cell[0] * (column + 0.5), box["y"] + 8 + cell[1] * (row + 0.5))
    rows = page.locator("table.examples tbody tr")
    expect(page.locator(".filter-live")).to_contain_text(str(row))
    expect(page.locator(".filter-shadow")).to_contain_text(str(column))
    pairs = {tuple(one.locator("td").all_inner_texts()[1:3]) for one in rows.all()}
    assert pairs <= {(str(row), str(column))}


def test_many_viewers_are_one_reader_and_leave_no_trace_in_kafka(
    look: Look, served: Served, kafka: EmbeddedKafka, digits: Namespace
) -> None:
    look()
    alone = connections(served, kafka)
    pages = [look() for _ in range(3)]
    assert connections(served, kafka) == alone
    digits.play(5)
    for page in pages:
        expect(page.get_by_role("status")).to_have_text("live")
    groups = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0}).list_consumer_groups().result(START_S)
    assert [one.group_id for one in groups.valid] == []


def test_colours_change_with_a_button(look: Look) -> None:
    page = look()
    button = page.get_by_role("button", name="Colours")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    button.click()
    button.click()
    expect(button).to_have_text("Colours: dark")
    page.wait_for_function(f"{colour} !== '{light}'")
    button.click()
    page.wait_for_function(f"{colour} === '{light}'")


def test_what_comes_in_records_is_text_and_nothing_else(
    look: Look, kafka: EmbeddedKafka, tmp_path: Path, served: Served
) -> None:
    evil = Character(0.7, failing=0.1)
    namespace = Namespace(
        kafka.bootstrap,
        tmp_path,
        "hostile",
        {"evil": evil},
        f"{HOSTILE[0]}@1",
        segments=HOSTILE[:2],
        classes=(*HOSTILE, *CLASSES)[:10],
        death=HOSTILE[1],
    )
    namespace.play(60)
    trial = namespace.staged.trial("evil")
    hostile_example(namespace, trial)
    running = serve(namespace)
    try:
        page = look(running.address)
        expect(page.get_by_role("heading", level=1)).to_contain_text("evil@1")
        expect(page.locator("table.examples tbody tr").first).to_contain_text(HOSTILE[1])
        choose(page, "Segment", f"day={HOSTILE[0]}")
        page.locator(".chart svg").filter(visible=True).nth(4).wait_for()
        for place in page.locator(".chart svg").filter(visible=True).all()[:6]:
            place.hover()
        heat = page.get_by_role("img", name=re.compile("answers differ")).locator("svg text").all_text_contents()
        assert any(text.startswith("\u200b<scri") for text in heat), heat
        for words in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4]):
            assert page.get_by_text(words, exact=False).count() > 0, words
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, main iframe, main a").count() == 0
        picture(page, "hostile", whole=True)
    finally:
        end(running)


def test_elsewhere_than_on_this_machine_it_takes_a_token_and_says_that_there_is_nothing_yet(
    kafka: EmbeddedKafka, tmp_path: Path, browser: Browser
) -> None:
    running = serve(Namespace(kafka.bootstrap, tmp_path, "empty"), "--host", "0.0.0.0")  # noqa: S104
    try:
        address = running.address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        bare, _, token = address.partition("?token=")
        assert len(token) >= 24
        context = browser.new_context()
        refused = context.request.get(bare)
        assert (refused.status, "trial" in refused.text()) == (401, False)
        assert context.request.get(f"{bare}?token={token[:-1]}").status == 401
        assert context.request.get(f"{bare}_nicegui_ws/socket.io/?EIO=4&transport=polling").status == 401
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_have_text("No trial has begun yet.", timeout=START_S * 1000)
        assert token not in page.url
        expect(page.get_by_role("status")).to_have_text("live", timeout=START_S * 1000)
        picture(page, "empty")
        context.close()
    finally:
        end(running)


def test_other_pages_and_other_names_are_refused(served: Served, browser: Browser) -> None:
    context = browser.new_context()
    socket = f"{served.address}_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert context.request.get(socket, headers={"Origin": "http://evil.example"}).status == 403
    assert context.request.get(served.address, headers={"Host": "evil.example"}).status == 403
    assert "default-src 'self'" in context.request.get(served.address).headers["content-security-policy"]
    context.close()


def test_a_broker_that_goes_and_comes_back_is_told_and_survived(
    look: Look, kafka: EmbeddedKafka, digits: Namespace
) -> None:
    page = look()
    before = requests_shown(page)
    kafka.kill_node(1)
    expect(page.get_by_role("status")).to_have_text("not connected", timeout=START_S * 1000)
    expect(page.get_by_role("alert")).to_contain_text("Kafka does not answer")
    assert requests_shown(page) == before
    picture(page, "not-connected")
    kafka.start_node(1)
    expect(page.get_by_role("status")).to_have_text("live", timeout=START_S * 1000)
    digits.play(20)
    expect(page.locator("button.trial", has_text="better@1")).to_contain_text(
        f"{before + 20:,} requests", timeout=START_S * 1000
    )


def requests_shown(page: Page) -> int:
    found = re.search(r"([\d,]+) requests, [\d,]+ labels", card(page, "better@1"))
    assert found is not None
    return int(found[1].replace(",", ""))


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).click()


def connections(served: Served, kafka: EmbeddedKafka) -> int:
    """How many connections to Kafka the dashboard's process has, once that is settled."""
    port = int(kafka.bootstrap.rpartition(":")[2])
    process, seen = psutil.Process(served.process.pid), list[int]()

    def settled() -> bool:
        found = [one for one in process.net_connections("tcp") if getattr(one.raddr, "port", 0) == port]
        seen.append(len([one for one in found if one.status == psutil.CONN_ESTABLISHED]))
        return len(seen) >= 5 and len(set(seen[-5:])) == 1

    until(settled)
    return seen[-1]


def hostile_example(namespace: Namespace, trial: str) -> None:
    """A comparison in which everything is hostile, at the very end of the topic."""
    record = orjson.loads(namespace.staged.comparisons[-1])
    record |= {
        "request_id": HOSTILE[1],
        "timestamp_ms": record["timestamp_ms"] + 1_000,
        "trial": trial,
        "status": "compared",
        "agree": False,
        "segments": {"day": HOSTILE[0], "odd": HOSTILE[3]},
        "features": {HOSTILE[0]: HOSTILE[4], ":formatter": "window.pwned=1"},
    }
    record["live"] |= {"prediction": HOSTILE[2]}
    record["shadow"] |= {"prediction": HOSTILE[4], "error": None}
    namespace.send("comparisons", b"k", orjson.dumps(record))
    namespace.producer.flush()


CONTRASTS = """() => {
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("main *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([element.textContent.slice(0, 40), style.color, Math.round(ratio * 10) / 10]);
  }
  return found;
}"""
