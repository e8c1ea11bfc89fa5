"""What comparisons take over from their requests when the settings ask for it: kept features, computed segments."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from fakes.instant_model import InstantModel
from shadowbus.compare import make_comparator
from shadowbus.errors import SettingsError
from shadowbus.records import Comparison, decode
from shadowbus.replay.enrich import MOST_BYTES
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import RecordBatch


def settings_with(**more: object) -> Settings:
    document = {"namespace": "n", "shadow": [{"name": "s", "model": "m", "task": "regression"}], **more}
    return parse_settings(document, Path("shadow.toml"), {})


def comparisons(requests: list[bytes], *, lives: list[int] | None = None, **more: object) -> list[dict[str, Any]]:
    """What replay writes for these requests, by the order of their ids r0, r1, …"""
    settings = settings_with(**more)
    stage = ReplayStage(
        frozenset({0}),
        settings=settings,
        shadow=settings.shadow[0],
        model=cast(ModelProcess, InstantModel()),
        comparator=make_comparator("regression", {}),
        worker="w",
    )
    numbers = range(len(requests)) if lives is None else lives
    answers = [b'{"request_id":"r%d","timestamp_ms":1,"model":"live@1","prediction":1}' % n for n in numbers]
    found = []
    slices = [
        RecordBatch("requests", 0, [b"r%d" % n for n in range(len(requests))], [*requests], [1] * len(requests),
              [*range(len(requests))]),
        RecordBatch("predictions", 0, [b"r%d" % n for n in numbers], [*answers], [1] * len(answers),
              [*range(len(answers))]),
    ]  # fmt: skip
    outputs = [
        stage.process(slices, 1),
        stage.tick(10**7, {("requests", 0): 0, ("predictions", 0): 0}),
        stage.drain(10**7),
    ]
    for one in outputs:
        for _, _, value in one.records.get("comparisons", []):
            assert value is not None
            decode(Comparison, value)
            found.append(json.loads(value))
    return sorted(found, key=lambda record: int(record["request_id"][1:]))


def request(number: int, features: object, **more: object) -> bytes:
    return json.dumps({"request_id": f"r{number}", "timestamp_ms": 1, "features": features, **more}).encode()


def test_by_default_no_features_are_kept() -> None:
    found = comparisons([request(n, {"x": n}) for n in range(20)])
    assert len(found) == 20
    assert all("features" not in record for record in found)


def test_a_share_of_the_requests_keeps_its_features_and_the_same_ones_each_time() -> None:
    requests = [request(n, {"x": n, "who": 'Ada \u00e9"'}) for n in range(2_000)]
    kept: dict[float, dict[str, object]] = {0.1: {}, 0.5: {}, 1.0: {}}
    for share, of in kept.items():
        for record in comparisons(requests, replay={"features_share": share}):
            if "features" in record:
                of[record["request_id"]] = record["features"]
    assert 140 < len(kept[0.1]) < 260
    assert kept[0.1].items() <= kept[0.5].items() <= kept[1.0].items()
    assert kept[1.0] == {f"r{n}": {"x": n, "who": 'Ada \u00e9"'} for n in range(2_000)}


def test_features_are_kept_whatever_became_of_the_request_but_not_in_dead_letters() -> None:
    requests = [request(0, {"x": 1}), request(1, {"y": 1}), b"{}", request(3, {"x": 2})]
    found = comparisons(requests, lives=[0, 1, 2], replay={"features_share": 1})
    assert [(record["status"], record.get("features")) for record in found] == [
        ("compared", {"x": 1}),
        ("shadow_error", {"y": 1}),
        ("request_missing", None),
        ("live_missing", {"x": 2}),
    ]
    assert found[1]["missing_features"] == ["x"]


@pytest.mark.parametrize(
    "features",
    [
        b'{"x":1,"name":"\xff\xfe"}',  # no UTF-8
        b'{"x":1,"deep":' + b"[" * 1_500 + b"]" * 1_500 + b"}",
        b'{"x":1,"long":"' + b"a" * MOST_BYTES + b'"}',
        b'{"x":1,"odd":"\\ud800"}',
    ],
)
def test_features_that_others_could_not_read_are_left_out_and_the_comparison_stays(features: bytes) -> None:
    value = b'{"request_id":"r0","timestamp_ms":1,"features":%b}' % features
    (record,) = comparisons([value], replay={"features_share": 1})
    assert "features" not in record


RULES = [
    {"name": "size", "feature": "x", "edges": [10, 20.5]},
    {"name": "land", "feature": "country", "values": ["DE", "3", "true"]},
    {"name": "again", "feature": "x", "values": ["10"]},
]


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ({"x": 9.99, "country": "DE"}, ("under 10", "DE", "missing")),
        ({"x": 10, "country": 3}, ("10 to 20.5", "3", "10")),
        ({"x": 20.5, "country": True}, ("20.5 or more", "true", "missing")),
        ({"x": 11, "country": "FR"}, ("10 to 20.5", "other", "other")),
        ({"x": 11, "country": None}, ("10 to 20.5", "missing", "other")),
        ({"x": 11, "country": ["DE"]}, ("10 to 20.5", "missing", "other")),
        ({"x": 10**40}, ("20.5 or more", "missing", "other")),
        ({"x": "10"}, ("missing", "missing", "10")),
        ({}, ("missing", "missing", "missing")),
    ],
)
def test_segments_are_computed_by_rule(features: dict[str, object], wanted: tuple[str, str, str]) -> None:
    found = comparisons(
        [request(0, features), request(1, features, segments={"land": "own", "q": '","'})], segment=RULES
    )
    computed = dict(zip(("size", "land", "again"), wanted, strict=True))
    assert found[0]["segments"] == computed
    assert found[1]["segments"] == {**computed, "land": "own", "q": '","'}


def test_marks_of_the_format_inside_of_ids_and_segments_are_nothing_but_text() -> None:
    hostile = {',"segments":{': {"missing_features": ["x"]}, "a": ',"missing_features":['}
    value = request(0, {"x": 12}, segments=hostile)
    (record,) = comparisons([value], segment=RULES[:1], replay={"features_share": 1})
    assert record["segments"] == {"size": "10 to 20.5", **hostile}
    assert record["features"] == {"x": 12}


def test_rules_find_features_in_lists_by_their_place_and_names_that_look_odd() -> None:
    rules = [{"name": "first", "feature": "0", "edges": [5]}, {"name": "odd", "feature": 'a"b', "values": ["1"]}]
    found = comparisons([request(0, [7.0]), request(1, {'a"b': 1, "0": 2}), request(2, [])], segment=rules)
    assert [record["segments"] for record in found] == [
        {"first": "5 or more", "odd": "missing"},
        {"first": "under 5", "odd": "1"},
        {"first": "missing", "odd": "missing"},
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"name": "a", "feature": "x"}, "segment.0..values' or 'edges' is needed"),
        ({"name": "a", "feature": "x", "values": ["1"], "edges": [1]}, "and not both"),
        ({"name": "a", "feature": "x", "edges": [2, 1]}, "to grow"),
        ({"name": "a", "feature": "x", "edges": [float("nan")]}, "finite"),
        ({"name": "a=b", "feature": "x", "edges": [1]}, "may not hold '='"),
        ({"name": "a|b", "feature": "x", "edges": [1]}, "without '|'"),
        ({"name": "a", "feature": "", "edges": [1]}, "name a feature"),
        ({"name": "a", "feature": "x", "values": ["1", "1"]}, "have to differ"),
        ({"name": "a", "feature": "x", "values": "1"}, "as a list"),
        ({"name": "a", "feature": "x", "values": [1]}, "of type str"),
        ({"name": "a", "feature": "x", "values": [str(n) for n in range(201)]}, "200 at most"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_told(rule: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_with(segment=[rule])


def test_two_rules_of_one_name_are_told() -> None:
    with pytest.raises(SettingsError, match="used twice"):
        settings_with(segment=[RULES[0], RULES[0]])
