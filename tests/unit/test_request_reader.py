"""Requests read by place and requests read with care are the same requests."""

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from shadowbus.models.sklearn.model import SklearnModel
from shadowbus.replay.model.answer_check import read_answers
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.messages import Answers, pack_answers, pack_question
from shadowbus.replay.model.requests import RequestReader

NAMES = ("age", "Day charge, €", "zip code")
_random = np.random.default_rng(3)
_rows = _random.normal(size=(300, 3))
MODEL = SklearnModel("m@1", HistGradientBoostingClassifier(max_iter=5).fit(_rows, _rows[:, 0] > 0), NAMES)
LISTS = SklearnModel("m@1", HistGradientBoostingClassifier(max_iter=5).fit(_rows, _rows[:, 0] > 0), None)


class Careful:
    """The same model without its way of reading matrices."""

    def __init__(self, model: SklearnModel) -> None:
        self.model, self.feature_names = model.model, model.feature_names
        self.predict, self.missing = model.predict, model.missing


def answered(model: Any, keys: Sequence[bytes], values: Sequence[bytes], *, by_place: bool) -> Answers:
    answering = Predictor(model if by_place else Careful(model), SingleRowSampler(0.0))
    assert (answering.by_place is not None) == by_place
    answers = read_answers(pack_answers(answering.answer(pack_question(keys, values))), keys, values)
    answers.batch_ms, answers.latencies = 0.0, {}
    return answers


def both(model: Any, records: Sequence[tuple[str, object]]) -> tuple[Answers, Answers]:
    keys = [key.encode() for key, _ in records]
    values = [json.dumps(value).encode() for _, value in records]
    return answered(model, keys, values, by_place=True), answered(model, keys, values, by_place=False)


number = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(-1e12, 1e12))
anything = st.one_of(number, st.text(max_size=3), st.lists(st.integers(), max_size=2))
features = st.one_of(
    st.dictionaries(st.sampled_from([*NAMES, "unknown"]), number, max_size=4),
    st.dictionaries(st.sampled_from([*NAMES, "unknown"]), anything, max_size=4),
    st.lists(number, min_size=2, max_size=4),
)
request = st.fixed_dictionaries(
    {"timestamp_ms": st.integers(0, 2**45), "features": features},
    optional={
        "segments": st.one_of(st.none(), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)),
        "context": anything,
    },
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda key: key.isprintable()), request, max_size=8))
def test_both_ways_give_the_same_answers(requests: dict[str, dict[str, Any]]) -> None:
    records = [(key, {"request_id": key, **value}) for key, value in requests.items()]
    if records:
        quick, careful = both(MODEL, records)
        assert quick == careful
        assert len(quick.tails) == len(records) - len(quick.malformed)


@settings(max_examples=20)
@given(st.lists(st.lists(number, min_size=3, max_size=3), min_size=1, max_size=6))
def test_lists_are_read_by_place_too(rows: list[list[Any]]) -> None:
    records = [
        (f"r{position}", {"request_id": f"r{position}", "timestamp_ms": 1, "features": row})
        for position, row in enumerate(rows)
    ]
    quick, careful = both(LISTS, records)
    assert quick == careful
    assert not quick.malformed


def test_what_a_plain_batch_is_read_into() -> None:
    reader = RequestReader(NAMES)
    values = [
        '{"request_id":"a","timestamp_ms":7,"features":{"zip code":3,"age":1.5,"x":9,"Day charge, €":2}}'.encode(),
        b'{"request_id":"b","timestamp_ms":8,"features":{"age":true,"zip code":null},"segments":{ "land" : "DE" }}',
    ]
    found = reader.read([b"a", b"b"], values)
    assert reader.names == ["zip code", "age", "Day charge, €"]
    assert found.places == [(3.0, 1.5, 2.0), (None, True, None)]
    assert [json.loads(b"{" + tail) for tail in found.tails] == [
        {"request_id": "a", "timestamp_ms": 7, "segments": {}, "missing_features": []},
        {"request_id": "b", "timestamp_ms": 8, "segments": {"land": "DE"}, "missing_features": []},
    ]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b'{"request_id":"a","timestamp_ms":1}',
        b'{"request_id":"b","timestamp_ms":1,"features":{}}',
        b'{"request_id":"a","timestamp_ms":1.5,"features":{}}',
        b'{"request_id":"a","timestamp_ms":1,"features":3}',
        b'{"request_id":"a","timestamp_ms":1,"features":{},"segments":[]}',
        b'{"request_id":"a","timestamp_ms":1,"features":{},"segments":{"a":"\xff"}}',
        b'{"request_id":"a","timestamp_ms":1,"features":{},"segments":{"a":"' + b"x" * 5000 + b'"}}',
        b'{"request_id":"\\ud800","timestamp_ms":1,"features":{}}',
        b'{"request_id":"a","timestamp_ms":1,"features":' + b"[" * 100_000,
        b'{"request_id":"a","timestamp_ms":1,"features":{}}{}',
    ],
)
def test_what_is_no_request_is_malformed_and_its_neighbour_is_not(value: bytes) -> None:
    good = b'{"request_id":"g","timestamp_ms":1,"features":{"age":1}}'
    found = RequestReader(NAMES).read([b"g", b"a"], [good, value])
    assert set(found.malformed) == {1}
    assert found.rows == [0]
    assert len(found.tails) == 1


def test_ids_and_segments_that_need_escapes_stay_json() -> None:
    random.seed(1)
    for key in ('a"b', "a\\b", "a\nb", "ü\u2028", "\x7f"):
        value = json.dumps({"request_id": key, "timestamp_ms": 1, "features": {}, "segments": {key: key}}).encode()
        [tail] = RequestReader(NAMES).read([key.encode()], [value]).tails
        assert json.loads(b"{" + tail)["request_id"] == key
        assert json.loads(b"{" + tail)["segments"] == {key: key}
