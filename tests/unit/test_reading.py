"""Typed records: every topic has its type, Parquet keeps what a record holds, and what is no record is left out."""

import dataclasses
import doctest
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from shadowbus import reading
from shadowbus.reading import TOPICS, topic_of, typed
from shadowbus.records import Answer, Comparison, Label, Told, Verdict, encode, parquet
from shadowbus.records.parquet import schema_of, write_parquet
from shadowbus.settings import Settings
from shadowbus.topology import TOPICS as EVERY


def test_every_topic_of_records_has_a_type_of_its_own() -> None:
    named = [topic.name for topic in TOPICS.values()]
    assert len(set(named)) == len(named)
    assert {topic.name for topic in EVERY} - set(named) == {"replay-changelog", "judge-changelog"}
    assert topic_of(Settings("churn"), Label) == "churn.labels"


def test_what_is_no_such_record_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    label = Label("r1", 1, "yes")
    values = [b"\xff", encode(label), b'{"request_id": 3}', b"[]"]
    assert list(typed(Label, values)) == [label]
    assert [("1 so far" in text, "2 so far" in text) for text in caplog.messages] == [(True, False), (False, True)]
    assert "the field 'request_id' has to be str" in caplog.text
    caplog.clear()
    assert not list(typed(Label, [b"{"] * 1_000))
    assert len(caplog.records) == 10  # a topic full of them does not fill the log


def test_what_else_lies_among_the_verdicts_is_passed_over_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    verdict = Verdict("a~b@1", "PROMOTE", [], 1, 1, {}, 1)
    assert list(typed(Verdict, [encode(Told("a~b@1", "chat", "PROMOTE", 1, True, 1)), encode(verdict)])) == [verdict]
    assert not caplog.records


@pytest.mark.parametrize("kind", TOPICS, ids=lambda kind: str(kind.__name__))
def test_every_record_type_has_columns(kind: Any) -> None:
    assert schema_of(kind).names == [field.name for field in dataclasses.fields(kind)]


def test_a_parquet_file_holds_what_the_records_hold(tmp_path: Path) -> None:
    answer = Answer("m@1", {"class": "ü", "p": [1, None]}, [0.5], None, "boom")
    first = Comparison("r1", 1, "a~b@1", "compared", answer, None, True, 0.5, segments={"country": "DE"}, features=[1])
    second = Comparison("r2", 2**53, "a~b@1", "live_missing", None, answer, None, None)
    assert write_parquet([first, second], Comparison, tmp_path / "f.parquet") == 2
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert [row["request_id"] for row in rows] == ["r1", "r2"]
    assert json.loads(rows[0]["live"]["prediction"]) == answer.prediction
    assert (rows[0]["live"]["error"], rows[0]["live"]["latency_ms"], rows[0]["shadow"]) == ("boom", None, None)
    assert json.loads(rows[0]["segments"]) == {"country": "DE"}
    assert (rows[0]["agree"], rows[1]["agree"], rows[1]["timestamp_ms"], rows[1]["features"]) == (
        True,
        None,
        2**53,
        None,
    )


def test_more_records_than_are_written_at_once_all_come_through(tmp_path: Path) -> None:
    count = 10_000 + 1
    labels = (Label(f"r{number}", number, number) for number in range(count))
    assert write_parquet(labels, Label, tmp_path / "f.parquet") == count
    assert pq.read_table(tmp_path / "f.parquet").column("timestamp_ms").to_pylist() == list(range(count))
    assert write_parquet([], Label, tmp_path / "empty.parquet") == 0
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0


@pytest.mark.parametrize("module", [parquet, reading], ids=["parquet", "reading"])
def test_the_examples_in_docstrings_run(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
