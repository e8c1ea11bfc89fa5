"""Every name of ill will at every place that shows or exports it, but for browsers (see tests/browser)."""

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from exported import expose
from ill_names import NAMES
from promql import samples_of
from shadowbus.cli.console import cell, clean
from shadowbus.cli.program import run
from shadowbus.cli.read.export import _write_columns, _write_lines
from shadowbus.cli.read.tail import line_of
from shadowbus.exporter.trial import TrialCollector
from shadowbus.exporter.trials import Trials
from shadowbus.labelling.csv_cells import FORMULA, request_id
from shadowbus.notify.due import Change
from shadowbus.notify.messages import chat, plain
from shadowbus.promotion.command import Command
from shadowbus.promotion.order import NotDone, Order
from shadowbus.promotion.webhook import content
from shadowbus.records import Answer, Comparison, Verdict, decode, encode
from shadowbus.report.drawing import INSTEAD, drawn
from shadowbus.report.foreign import code, markdown, shown
from shadowbus.settings.webhook import NotifySettings
from shadowbus.slices.columns import FeatureColumn
from shadowbus.slices.rule import Condition
from shadowbus.story.names import for_charts

TRIAL = "live@1~challenger@2"
BAD = ("Cc", "Cf", "Cs", "Zl", "Zp")


def steers(text: str) -> list[str]:
    """What of a text a terminal would obey, or a person could not see."""
    return [letter for letter in text if letter != "\n" and unicodedata.category(letter) in BAD]


def comparison(name: str) -> Comparison:
    side = Answer(name, name, {name: 1.0}, 1.0, None)
    failed = Answer(name, None, None, None, name)
    return Comparison(name, 1, f"{name}~{name}@1", "shadow_error", side, failed, None, None, segments={name: name})


def verdict(name: str) -> Verdict:
    criterion = {"name": f"accuracy:{name}", "value": 0.1, "low": 0.0, "high": 0.2, "limit": 0.0, "state": "holds"}
    return Verdict(f"{name}~{name}", "PROMOTE", [criterion], 9, 8, {name: name}, 200, note=name)


each = pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])


@each
def test_a_line_of_tail_is_one_line_and_steers_nothing(name: str) -> None:
    out = io.StringIO()
    Console(file=out, highlight=False, markup=False, width=100).print(line_of(comparison(name)), soft_wrap=True)
    assert out.getvalue().count("\n") == 1
    assert not steers(out.getvalue())


@each
def test_a_rule_of_slices_is_a_cell_that_steers_nothing(name: str) -> None:
    rule = Condition(FeatureColumn(name, name), low=0.5, missing=False)
    assert not steers(cell(rule.text()).plain)
    assert not steers(json.dumps(rule.record()))


@each
def test_a_queue_is_a_table_that_does_nothing_and_gives_every_id_back(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"timestamp_ms": 1, "trial": TRIAL, "status": "compared", "agree": False, "segments": {name: name}}
    side = {"model": "m@1", "prediction": name}
    lines = [orjson.dumps({"request_id": one, **record, "live": side, "shadow": side}) for one in (name, "r-17")]
    file = tmp_path / "comparisons.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    flags = ["label-queue", "--shadow", "challenger", "--count", "9", "--comparisons", str(file)]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit, match="0"):
            run([*flags, *more])
        said = capsys.readouterr().out
        assert not steers(said)
        if more:
            rows = [json.loads(line) for line in said.splitlines()]
            assert {row["request_id"] for row in rows} == {name, "r-17"}
            assert {row["live"] for row in rows} == {name}
            continue
        assert len(said.splitlines()) == 3
        table = list(csv.DictReader(io.StringIO(said)))
        assert {request_id(row["request_id"]) for row in table} == {name, "r-17"}
        assert "r-17" in {row["request_id"] for row in table}
        assert {json.loads(row["live"]) for row in table} == {name}
        assert json.loads(table[0]["segments"]) == {name: name}
        for separator in ",;\t|":
            cells = [cell for row in csv.reader(io.StringIO(said), delimiter=separator) for cell in row]
            assert not [cell for cell in cells if cell.startswith(tuple(set(FORMULA) - {'"', "'"}))]


@each
def test_an_export_has_the_name_as_it_is(name: str, tmp_path: Path) -> None:
    record = comparison(name)
    assert _write_lines([record], tmp_path / "x.jsonl") == 1
    (line,) = (tmp_path / "x.jsonl").read_bytes().splitlines()
    assert decode(Comparison, line) == record
    assert _write_columns([record], Comparison, tmp_path / "x.parquet") == 1
    (row,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert row["request_id"] == name
    assert json.loads(row["segments"]) == {name: name}


@each
def test_a_chat_shows_a_name_between_backquotes_and_a_program_gets_it_as_it_is(name: str) -> None:
    change = Change(NotifySettings("chat", "https://chat.example/x"), verdict(name), "KEEP_WATCHING", 1)
    text = json.loads(chat(change, "id"))["text"]
    assert text.count("\n") == 2
    assert not steers(text)
    assert text.count("`") == 4
    outside = "".join(text.split("`")[::2])
    assert not re.search(r"[<>@&\[\]$]|://|evil", outside)
    assert not re.search("[<>]", text)
    assert len(text) < 2_000
    assert json.loads(plain(change, "id"))["verdict"] == json.loads(encode(verdict(name)))


@each
def test_prometheus_reads_a_name_as_one_label(name: str) -> None:
    trials, trial = Trials(), f"{name.replace('|', '')}~x@1"
    aggregate = {"v": 1, "trial": trial, "segment": "all", "window": "all", "requests": 7, "summary": {"requests": 7}}
    trials.take("aggregates", f"{trial}|all|all".encode(), orjson.dumps(aggregate))
    found = [one for one in samples_of(expose(TrialCollector(trials)), "agents") if one.labels.get("trial")]
    assert {one.labels["trial"] for one in found} == {trial}
    assert {one.name.startswith("shadowbus_trial") or one.name.startswith("shadowbus_") for one in found} == {True}


SCRIPT = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], open('out', 'w'))"


def test_a_command_and_a_webhook_get_the_record_and_an_environment_that_any_system_takes(tmp_path: Path) -> None:
    for name in NAMES:
        told = content(Order("promote", verdict(name), "key", name))
        assert json.loads(told)["verdict"] == json.loads(encode(verdict(name)))
    for name in NAMES[::3]:
        Command((sys.executable, "-I", "-S", "-c", SCRIPT), tmp_path, 60.0).act(
            Order("promote", verdict(name), "key", name)
        )
        record, environment = json.loads((tmp_path / "out").read_text())
        assert record == json.loads(encode(verdict(name)))
        set_here = {key: value for key, value in environment.items() if key.startswith("SHADOWBUS_")}
        assert len([key for key in set_here if key != "SHADOWBUS_TEST_BOOTSTRAP"]) == 9
        assert not [value for value in set_here.values() if steers(value) or "\n" in value or len(value) > 4_000]


def test_no_name_breaks_what_is_told_of_a_command_that_failed(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes("\n".join(name[:50] for name in NAMES).encode("utf-8", "replace"))
    with pytest.raises(NotDone) as caught:
        Command(("/bin/sh", "-c", "cat said; exit 3"), tmp_path, 30.0).act(Order("promote", verdict("x"), "key", "ann"))
    assert not steers(clean(str(caught.value)))
    assert "\n" not in str(caught.value)


@each
@pytest.mark.parametrize("written", [code, markdown])
def test_markdown_shows_a_name_and_nothing_more(name: str, written: Callable[[object], str]) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for text in (f"x {written(name)} y", f"| a | b |\n|---|---|\n| {written(name)} | c |", f"- {written(name)}"):
        tokens = parser.parse(text)
        flat = [*tokens, *(child for one in tokens for child in one.children or ())]
        kinds = {one.type for one in flat}
        assert not kinds & {"html_block", "html_inline", "link_open", "image", "heading_open", "fence", "strong_open"}
        assert sum(one.type == "td_open" for one in flat) in (0, 2)
        assert not steers(text.replace("\u200b", ""))


@each
def test_html_has_a_name_on_one_line_and_short(name: str) -> None:
    assert not steers(shown(name))
    assert "\n" not in shown(name)
    assert len(shown(name)) <= 300


@each
def test_a_chart_is_drawn_with_the_name(name: str) -> None:
    drawn_name = for_charts(name, 24)
    assert drawn_name not in dir(object)
    assert not steers(drawn_name[1:])
    spec = {
        "data": {"values": [{"x": drawn_name, "y": 1, "c": drawn_name}, {"x": "b", "y": 2, "c": "b"}]},
        "mark": "bar",
        "encoding": {
            "x": {"field": "x", "type": "nominal", "sort": [drawn_name, "b"], "scale": {"domain": [drawn_name, "b"]}},
            "y": {"field": "y", "type": "quantitative", "aggregate": "sum"},
            "color": {
                "field": "c",
                "type": "nominal",
                "scale": {"domain": [drawn_name, "b"], "range": ["red", "blue"]},
            },
        },
    }
    picture = drawn(spec)
    assert picture != INSTEAD
    assert "undefined" not in picture
    assert "<script" not in picture


def test_a_chart_that_cannot_be_drawn_does_not_cost_the_report(caplog: pytest.LogCaptureFixture) -> None:
    assert drawn({"mark": {"type": "no such mark"}, "data": 7}) == INSTEAD
    assert "could not be drawn" in caplog.text
