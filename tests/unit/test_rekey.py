"""Rekey over lists of records: where each goes, what stays as it was, what is set aside."""

import base64
import json
from pathlib import Path

import orjson
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # an independent implementation

from shadowbus.cli.run.up import commands
from shadowbus.errors import Malformed, SettingsError
from shadowbus.rekey.identity import identified
from shadowbus.rekey.stage import RekeyStage
from shadowbus.settings import RekeySettings, Settings, parse_settings
from shadowbus.stage import Outputs, RecordBatch
from shadowbus.topology import MAX_OUTPUT_BYTES

NOW_MS = 1_760_000_000_000
PARTITIONS = 5


def stage(id_field: str = "request_id") -> RekeyStage:
    rekey = RekeySettings(requests="raw", predictions="raw-answers", id_field=id_field)
    return RekeyStage(Settings("churn", partitions=PARTITIONS, rekey=rekey))


def piece(*values: object, topic: str = "rekey-requests", stamps: list[int] | None = None) -> RecordBatch:
    raw = [one if isinstance(one, bytes) or one is None else json.dumps(one).encode() for one in values]
    offsets = list(range(70, 70 + len(raw)))
    return RecordBatch(topic, 7, [b"user"] * len(raw), list(raw), stamps or [NOW_MS - 5] * len(raw), offsets)


def letters(outputs: Outputs) -> list[dict[str, object]]:
    return [orjson.loads(value or b"") for _, _, value in outputs.records.get("dead-letters", [])]


def test_each_record_goes_to_the_partition_of_its_id_under_its_id_as_it_was() -> None:
    values = [{"request_id": f"id-{number}", "features": [1.10, number]} for number in range(200)]
    outputs = stage().process([piece(*values)], NOW_MS)
    rows = outputs.stamped["requests"]
    assert [key for _, key, _, _ in rows] == [value["request_id"].encode() for value in values]  # type: ignore[attr-defined]
    assert [value for _, _, value, _ in rows] == [json.dumps(value).encode() for value in values]
    for partition, key, _, stamp in rows:
        assert partition == (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
        assert stamp == NOW_MS - 5
    assert {partition for partition, *_ in rows} == set(range(PARTITIONS))
    assert outputs.positions == {("rekey-requests", 7): 270}
    assert not outputs.records


def test_each_source_goes_to_its_own_topic() -> None:
    both = [piece({"request_id": "a"}), piece({"request_id": "a"}, topic="rekey-predictions")]
    outputs = stage().process(both, NOW_MS)
    assert {topic: len(rows) for topic, rows in outputs.stamped.items()} == {"requests": 1, "predictions": 1}
    assert outputs.stamped["requests"][0][:2] == outputs.stamped["predictions"][0][:2]


def test_what_has_no_id_is_set_aside_with_its_source_and_its_bytes() -> None:
    bad = [
        b"{oops",
        b"[1]",
        None,
        {"x": 1},
        {"request_id": ""},
        {"request_id": None},
        {"request_id": True},
        {"request_id": "ü" * 257},
    ]
    outputs = stage().process([piece(*bad, {"request_id": "good"})], NOW_MS)
    assert [key for _, key, _, _ in outputs.stamped["requests"]] == [b"good"]
    found = letters(outputs)
    assert [(one["topic"], one["partition"], one["offset"]) for one in found] == [("raw", 7, 70 + n) for n in range(8)]
    assert base64.b64decode(str(found[0]["bytes"])) == b"{oops"
    assert found[3]["reason"] == "the field 'request_id' is missing"
    assert found[4]["reason"] == "the field 'request_id' has to hold a request id: text of 1 to 512 bytes"
    assert all(partition < PARTITIONS for partition, _, _ in outputs.records["dead-letters"])
    assert outputs.positions == {("rekey-requests", 7): 79}


def test_a_record_too_large_for_the_topic_is_set_aside() -> None:
    large = {"request_id": "large", "text": "x" * MAX_OUTPUT_BYTES}
    outputs = stage().process([piece(large, {"request_id": "small"})], NOW_MS)
    assert [key for _, key, _, _ in outputs.stamped["requests"]] == [b"small"]
    assert letters(outputs)[0]["truncated"] is True


@pytest.mark.parametrize(
    ("stamp", "kept"),
    [
        (0, 0),
        (NOW_MS - 10**11, NOW_MS - 10**11),
        (NOW_MS + 60_000, NOW_MS + 60_000),
        (NOW_MS + 3_600_001, NOW_MS),
        (-1, NOW_MS),
    ],
)
def test_times_are_kept_unless_kafka_would_refuse_them(stamp: int, kept: int) -> None:
    outputs = stage().process([piece({"request_id": "a"}, stamps=[stamp])], NOW_MS)
    assert outputs.stamped["requests"][0][3] == kept


@pytest.mark.parametrize(
    ("value", "path", "key"),
    [
        ({"meta": {"id": "a"}, "n": 1}, ("meta", "id"), "a"),
        ({"id": 42}, ("id",), "42"),
        ({"request_id": 42}, ("request_id",), "42"),
        ({"id": "ü", "request_id": "other"}, ("id",), "ü"),
    ],
)
def test_an_id_that_lies_elsewhere_becomes_the_request_id(
    value: dict[str, object], path: tuple[str, ...], key: str
) -> None:
    found, record = identified(json.dumps(value).encode(), path)
    assert found == key.encode()
    assert json.loads(record) == {**value, "request_id": key}


def test_a_path_that_ends_early_says_where() -> None:
    with pytest.raises(Malformed, match=r"the field 'meta\.id' is missing"):
        identified(b'{"meta": {"x": 1}}', ("meta", "id"))
    with pytest.raises(Malformed, match=r"the field 'meta\.id' is missing"):
        identified(b'{"meta": "text"}', ("meta", "id", "deeper"))


def test_a_worker_without_a_source_says_so() -> None:
    import threading

    from shadowbus.rekey.worker import run_rekey

    with pytest.raises(SettingsError, match=r"names no topic in \[rekey\]"):
        run_rekey(Settings("churn"), threading.Event())


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        (
            {"requests": "churn.requests"},
            "'rekey.requests' has to be a topic of yours, and 'churn.requests' belongs to this namespace",
        ),
        ({"requests": "raw", "labels": "raw"}, "'raw' is named twice"),
        ({"labels": "no spaces"}, "'rekey.labels' has to be the whole name of a topic"),
        ({"requests": "raw", "id_field": "meta."}, "'rekey.id_field' names a field"),
    ],
)
def test_settings_that_cannot_work_are_refused(table: dict[str, str], wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"namespace": "churn", "rekey": table}, Path("shadow.toml"), {})
    assert wrong in str(caught.value)


def test_a_source_may_have_a_name_like_the_namespace() -> None:
    named = parse_settings({"namespace": "churn", "rekey": {"labels": "churn.raw"}}, Path("shadow.toml"), {})
    assert named.rekey.sources == {"labels": "churn.raw"}


def test_up_runs_the_stage_only_where_it_is_asked_for() -> None:
    asked = Settings("churn", rekey=RekeySettings(labels="raw"))
    assert next(command.arguments for command in commands(asked, 1)) == ("rekey", "--worker-id", "rekey-0")
    assert not [command for command in commands(Settings("churn"), 1) if "rekey" in command.name]
