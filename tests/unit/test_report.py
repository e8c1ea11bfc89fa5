"""The report: what the story says, in one file that fetches nothing, runs nothing, and believes no text in a record."""

import doctest
import importlib
import pkgutil
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from markdown_it import MarkdownIt

from shadowbus import notify, promotion, report, webhook
from shadowbus.cli.program import run
from shadowbus.records import Aggregate, Promotion, Verdict, decode, encode
from shadowbus.report.charts import charts, interval
from shadowbus.report.document import Document, document
from shadowbus.report.drawing import drawn
from shadowbus.report.sources import Known, from_backtest
from shadowbus.report.writing import html, pull_request
from shadowbus.story.trial import TrialStory, tell
from staged import Staged, settings

HOSTILE = (
    "</svg></table><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}`|[x](javascript:alert(3))\u202e"
)


class Page(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a backtest leaves it."""
    path, staged = tmp_path_factory.mktemp("backtest") / "march", Staged(settings())
    path.mkdir()
    for requests in (200, 300, 300, 400):
        for one in staged.play(requests):
            with (path / f"{one.topic}.jsonl").open("ab") as lines:
                lines.write((one.value or b"") + b"\n")
    return path


@pytest.fixture(scope="module")
def known(folder: Path) -> Known:
    return from_backtest(folder)


def made(known: Known, *, pictures: bool = False, **more: Any) -> Document:
    draw = drawn if pictures else lambda _: "<svg></svg>"
    return document(known.told, source=known.source, made_ms=1_760_000_000_000, draw=draw, **more)


@pytest.fixture(scope="module")
def page(known: Known) -> str:
    return html(made(known, pictures=True, shadow="crasher"))


def test_the_first_screen_says_what_to_promote_and_what_to_send_back(known: Known) -> None:
    seen = Page(html(made(known)))
    assert "Promote better@1. Send back crasher@1 and worse@1." in seen.text
    rows = [one for one in seen.tags if one[0] == "section"]
    assert len(rows) == 4
    assert seen.text.index("PROMOTE") < seen.text.index("Yes, promote better@1: it may replace champion@1.")


def test_a_report_of_one_shadow_speaks_of_no_other_but_keeps_its_noise_floor(page: str) -> None:
    seen = Page(page)
    assert "worse@1" not in seen.text
    assert "The control, the live model in its own shadow, differs from itself" in seen.text
    assert "No, send crasher@1 back." in seen.text


def test_everything_the_story_says_of_a_trial_is_in_it(known: Known, page: str) -> None:
    story = next(one for one in tell(known.told).trials if one.shadow == "crasher@1")
    text = Page(page).text
    for one in story.criteria:
        for said in (one.title, one.value_text, one.interval_text, one.limit_text):
            assert said in text
    for said in (story.why, story.agreement_text, story.errors_text, story.books.text, story.books.equations[0].text):
        assert said in text
    assert all(one.name in text for one in story.segments)
    assert "✗ broken" in text


def test_the_evidence_is_that_of_the_newest_verdict(known: Known, page: str, folder: Path) -> None:
    records = [orjson.loads(line) for line in (folder / "verdicts.jsonl").read_bytes().splitlines()]
    newest = [one for one in records if one["trial"] == "champion@1~crasher@1"][-1]
    first, after = newest["evidence"]["offsets"]["comparisons"]["0"]
    text = Page(page).text
    assert f"0: {first} to {after}" in text
    assert newest["evidence"]["settings"]["gate"] in text


def test_it_needs_no_network_and_runs_nothing(page: str) -> None:
    seen = Page(page)
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    addresses = [
        value for _, attrs in seen.tags for name, value in attrs.items() if name in ("href", "src", "xlink:href")
    ]
    assert all(str(one).startswith("#") for one in addresses)
    assert page.count("url(") == page.count("url(#clip")  # parts of the very picture
    names = [str(attrs["id"]) for _, attrs in seen.tags if "id" in attrs]
    assert len(set(names)) == len(names)
    assert "@import" not in page
    policy = [attrs["content"] for tag, attrs in seen.tags if tag == "meta" and "http-equiv" in attrs]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def hostile(known: Known) -> Known:
    """The same records with a text of ill will wherever a record may hold one."""

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner) for inner in value]
        return f"{value}{HOSTILE}" if isinstance(value, str) else value

    told = []
    for one in known.told:
        aggregates = [
            replace(
                each,
                trial=HOSTILE + one.trial,
                segment=each.segment if each.segment == "all" else f"day={HOSTILE}",
                summary={
                    **each.summary,
                    "confusion": spoil(each.summary.get("confusion")),
                    "predictions": _classes(each),
                },
                books=spoil(each.books),
            )
            for each in one.aggregates
        ]
        history = [
            replace(
                each,
                trial=HOSTILE + one.trial,
                note=HOSTILE,
                needed={"requests": 5, "note": HOSTILE},
                criteria=_spoilt_names(each.criteria),
                evidence={"models": [HOSTILE], "settings": {HOSTILE: HOSTILE}, "offsets": {HOSTILE: {HOSTILE: [1, 2]}}},
            )
            for each in one.history
        ]
        action = {"PROMOTE": "promote", "SEND_BACK": "send_back"}.get(history[-1].verdict, "") if history else ""
        act = Promotion(HOSTILE + one.trial, action, HOSTILE, HOSTILE, 2**60, "b", "k", told=HOSTILE)
        told.append(replace(one, trial=act.trial, aggregates=aggregates, history=history, act=act))
    return Known(HOSTILE, told)


def _spoilt_names(criteria: list[Any]) -> list[object]:
    return [{**one, "note": HOSTILE, "name": f"{one['name']}:{HOSTILE}"} for one in criteria]


def _classes(one: Aggregate) -> Any:
    table = one.summary.get("predictions")
    return {**table, "classes": [f"{name}{HOSTILE}" for name in table["classes"]]} if isinstance(table, dict) else table


def test_hostile_texts_are_texts_in_html(known: Known) -> None:
    spoiled = hostile(known)
    clean, dirty = (
        Page(html(made(known, pictures=True))),
        Page(html(made(spoiled, pictures=True))),
    )
    assert {tag for tag, _ in dirty.tags} <= {tag for tag, _ in clean.tags} | {"p"}
    assert not [name for _, attrs in dirty.tags for name in attrs if name.startswith("on")]
    assert "<script>alert(1)</script>" in dirty.text
    assert "{{ 7*7 }}" in dirty.text
    assert "\u202e" not in dirty.text


def test_hostile_texts_are_texts_in_markdown(known: Known) -> None:
    spoiled = hostile(known)
    text = pull_request(made(spoiled))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [*tokens, *(child for one in tokens for child in one.children or ())]
    raw = {one.content.strip() for one in flat if one.type in ("html_block", "html_inline")}
    assert not [one for one in raw if re.sub(r"</?(details|summary)>", "", one).count("<")]
    assert not [one for one in flat if one.type in ("link_open", "image")]
    assert any("<script>alert(1)</script>" in one.content for one in flat if one.type == "text")


def test_markdown_has_the_tables_that_a_pull_request_shows(known: Known) -> None:
    text = pull_request(made(known))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    tables = [one for one in tokens if one.type == "table_open"]
    assert len(tables) == 1 + 4 * 2
    assert len(text) < 65_536
    assert "| `better@1` | **PROMOTE** | 1,200 | 1,200 |" in text
    story = next(one for one in tell(known.told).trials if one.shadow == "crasher@1")
    (failing,) = [one for one in story.criteria if one.name == "error_rate"]
    seen = f"{failing.value_text} | {failing.basis_text} | {failing.interval_text}"
    assert f"| Requests it fails on | {seen} | at most 0.30 % |" in text
    assert "**✗ broken**" in text


def test_a_bar_is_coloured_by_its_state_and_spans_what_is_possible(known: Known) -> None:
    stories = {one.shadow: one for one in tell(known.told).trials}
    (failing,) = [one for one in stories["crasher@1"].criteria if one.name == "error_rate"]
    spec = interval(failing)
    assert spec is not None
    (row,) = spec["data"]["values"]
    assert (row["low"], row["value"], row["high"], row["limit"]) == (
        failing.low,
        failing.value,
        failing.high,
        failing.limit,
    )
    picture = drawn(spec)
    assert 'fill="var(--bad)"' in picture
    assert "var(--good)" not in picture


def test_the_heat_map_holds_every_request_that_both_answered(known: Known) -> None:
    story: TrialStory = next(one for one in tell(known.told).trials if one.shadow == "worse@1")
    (found,) = [one for one in charts(story, ()) if one.title == "Who said what"]
    assert sum(row["requests"] for row in found.spec["data"]["values"]) == 1_200
    assert sum(row["requests"] for row in found.spec["data"]["values"] if not row["same"]) == story.confusion.differing  # type: ignore[union-attr]


def test_what_was_done_about_a_verdict_is_in_the_report(known: Known) -> None:
    trial = "champion@1~better@1"
    done = Promotion(
        trial, "promote", "done", "ann", 1_760_003_600_000, "b", "k", told="The alias points at version 1."
    )
    told = [replace(one, act=done) if one.trial == trial else one for one in known.told]
    text = Page(html(made(replace(known, told=told)))).text
    assert "It was promoted by ann, 2025-10-09 09:53 UTC. The alias points at version 1." in text


def test_nothing_known_is_still_a_page() -> None:
    empty = document([], source="namespace x", made_ms=0, draw=None)
    assert "No trial has begun yet." in Page(html(empty)).text
    assert "There is nothing to report yet." in pull_request(empty)


def test_a_trial_without_any_criterion_or_label_is_drawn() -> None:
    one = Aggregate("a@1~b@1", "all", "all", {}, {"requests": 3}, {}, 1)
    verdict = Verdict("a@1~b@1", "KEEP_WATCHING", [], 3, 0, {}, 1)
    from shadowbus.story.trial import Told

    told = [Told("a@1~b@1", [one], [verdict])]
    text = Page(html(document(told, source="x", made_ms=1, draw=drawn))).text
    assert "Not yet: keep watching b@1." in text


def call(*arguments: str | Path) -> int:
    try:
        return run([str(one) for one in arguments])
    except SystemExit as leaving:
        return int(str(leaving.code or 0))


def test_the_verb_writes_what_the_file_name_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", "--backtest", folder, "--shadow", "better", "--out", tmp_path / "r.md") == 0
    assert (tmp_path / "r.md").read_text().startswith("# Yes, promote better@")
    assert "Yes, promote better@1" in capsys.readouterr().err
    assert call("report", "--backtest", folder, "--trial", "champion@1~worse@1", "--out", tmp_path / "r.html") == 0
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--out", "r.pdf"], "has to end in .html or .md"),
        (["--out", "r.md", "--shadow", "nobody"], "There is no trial to report on in backtest in march."),
        (["--out", "absent/r.md"], "absent/r.md cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    folder: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", "--backtest", folder, *flags) == 1
    assert sentence in capsys.readouterr().err


def test_a_folder_that_is_no_backtest_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", "--backtest", tmp_path, "--out", tmp_path / "r.md") == 1
    assert "is it a folder of a backtest?" in capsys.readouterr().err


def test_broken_lines_of_a_backtest_are_passed_over(folder: Path, tmp_path: Path) -> None:
    for name in ("aggregates", "verdicts"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"{}\nnot JSON\n\n" + (folder / f"{name}.jsonl").read_bytes())
    assert from_backtest(tmp_path).told == from_backtest(folder).told


MODULES = [
    f"{package.__name__}.{one.name}"
    for package in (notify, promotion, report, webhook)
    for one in pkgutil.iter_modules(package.__path__)
] + ["shadowbus.settings.promotion", "shadowbus.settings.webhook"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_records_read_back_are_those_written(folder: Path) -> None:
    for line in (folder / "verdicts.jsonl").read_bytes().splitlines():
        assert encode(decode(Verdict, line)) == line


def test_a_command_is_one_and_a_backtest_promotes_nothing(known: Known) -> None:
    trial = next(one for one in known.told if "better" in one.trial)
    live = replace(known, told=[trial], configured={"better": "1"})
    assert "Next: <code>shadowbus promote --shadow better</code>; with" in html(made(live, configured=live.configured))
    past = html(made(replace(known, told=[trial], configured=None)))
    assert "a backtest promotes nothing" in past
    assert "shadowbus promote" not in past
