"""What services really hand in (numpy, dataclasses, odd keys) becomes plain JSON; ids and samples are reproducible."""

import collections
import dataclasses
import decimal
import hashlib
import uuid
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.capture import wire
from shadowbus.capture.ids import RequestIds, given_id
from shadowbus.capture.sampling import Sampler


@dataclasses.dataclass
class Customer:
    age: int


class Frozen(collections.UserDict[str, int]):
    """A mapping that is no dict."""


class Series:
    """As pandas has it: values with names."""

    def to_dict(self) -> dict[str, float]:
        return {"age": 41.0}

    def tolist(self) -> list[float]:
        return [41.0]


@pytest.mark.parametrize(
    ("features", "written"),
    [
        ({"age": np.float32(41.5), "n": np.int64(3)}, {"age": 41.5, "n": 3}),
        ({"row": np.arange(6)[::2]}, {"row": [0, 2, 4]}),
        (np.array([[1.5, 2.5]]), [[1.5, 2.5]]),
        ((1, 2), [1, 2]),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
        ({"age": float("nan"), "n": float("inf")}, {"age": None, "n": None}),
        (Customer(41), {"age": 41}),
        (Frozen(age=41), {"age": 41}),
        (Series(), {"age": 41.0}),
        ({"tags": {7}, "price": decimal.Decimal("1.5")}, {"tags": [7], "price": 1.5}),
    ],
)
def test_features_of_many_kinds_are_written_as_json(features: Any, written: Any) -> None:
    assert orjson.loads(wire.request_value("r-1", 1, features, None, None))["features"] == written


@pytest.mark.parametrize("given", ["text", b"bytes", 7, 1.5, None, True, np.float64(1.0)])
def test_features_without_structure_are_refused(given: Any) -> None:
    with pytest.raises(TypeError):
        wire.request_value("r-1", 1, given, None, None)


@pytest.mark.parametrize("given", ["DE", ["DE"], 7])
def test_segments_have_to_be_named(given: Any) -> None:
    with pytest.raises(TypeError):
        wire.request_value("r-1", 1, {}, given, None)


def test_an_exception_without_a_readable_message_still_has_a_text() -> None:
    class RudeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert wire.error_text(RudeError()) == "RudeError: (its message cannot be read)"
    assert wire.error_text(ValueError()) == "ValueError"
    assert orjson.dumps(wire.error_text(ValueError("\ud800")))


def test_given_ids_become_keys_or_are_refused() -> None:
    number = uuid.uuid4()
    accepted = [given_id(given) for given in ("r-ü", b"r-1", 7, number)]
    assert accepted == ["r-ü", "r-1", "7", str(number)]
    refused: list[object] = ["", b"", "x" * 513, "\ud800", b"\xff", True, 1.5, object(), ["r"], 10**5_000]
    assert [given_id(given) for given in refused] == [None] * len(refused)


def test_new_ids_do_not_repeat_within_or_across_processes() -> None:
    ours, theirs = RequestIds(), RequestIds()
    before = [ours.new() for _ in range(1_000)]
    ours.renew()
    assert len({*before, *(ids.new() for ids in (ours, theirs) for _ in range(1_000))}) == 3_000


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_sample_is_decided_by_the_id_alone_and_grows_with_the_rate(text: str, one: float, other: float) -> None:
    key = text.encode("utf-8", "replace")
    share = int(hashlib.blake2b(key, digest_size=8).hexdigest(), 16) / 2**64
    low, high = sorted((one, other))
    if abs(share - low) > 1e-9:
        assert Sampler(low).keeps(key) == (share < low)
    assert Sampler(high).keeps(key) or not Sampler(low).keeps(key)


def test_a_sample_keeps_its_share() -> None:
    kept = sum(Sampler(0.25).keeps(b"%d" % number) for number in range(20_000))
    assert 4_700 < kept < 5_300
    assert [Sampler(rate).keeps(b"r-1") for rate in (0, 1)] == [False, True]


def test_a_label_says_how_likely_it_was_to_be_asked_for() -> None:
    plain = orjson.loads(wire.label_value("r1", 5, "yes"))
    assert plain == {"v": 1, "request_id": "r1", "timestamp_ms": 5, "label": "yes"}
    assert orjson.loads(wire.label_value("r1", 5, "yes", 0.25)) == {**plain, "probability": 0.25}
