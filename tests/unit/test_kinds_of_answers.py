"""What agreeing, distance and being right mean for rankings, vectors, texts, JSON and functions of one's own."""

import math
import unicodedata
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.compare import Judged, make_comparator
from shadowbus.compare.ranking import rank_biased_overlap
from shadowbus.compare.structured import Structured
from shadowbus.compare.text import LONGEST

rankings = st.permutations(list("abcdefgh")).flatmap(lambda row: st.integers(1, 8).map(lambda most: list(row[:most])))


def compared(task: str, options: dict[str, object], one: object, other: object) -> tuple[bool | None, float | None]:
    (agree,), (distance,) = make_comparator(task, options).compare([one], [None], [other], [None])
    return agree, distance


@given(rankings, rankings, st.floats(0.05, 0.95))
def test_rank_biased_overlap_is_what_its_definition_says(one: list[str], other: list[str], persistence: float) -> None:
    """Equation 32 of the paper, term by term."""
    short, long = sorted((one, other), key=len)
    s, most = len(short), len(long)
    shared = {depth: len(set(short[:depth]) & set(long[:depth])) for depth in range(1, most + 1)}
    seen = sum(shared[d] / d * persistence**d for d in range(1, most + 1))
    beyond = sum(shared[s] * (d - s) / (s * d) * persistence**d for d in range(s + 1, most + 1))
    end = ((shared[most] - shared[s]) / most + shared[s] / s) * persistence**most
    wanted = (1 - persistence) / persistence * (seen + beyond) + end
    assert rank_biased_overlap(one, other, persistence) == pytest.approx(wanted)


def test_the_first_places_of_a_ranking_weigh_most() -> None:
    ranking = [*"abcdefghij"]
    first = compared("ranking", {}, ranking, ["b", "a", *ranking[2:]])[1]
    last = compared("ranking", {}, ranking, [*ranking[:8], "j", "i"])[1]
    assert first is not None
    assert last is not None
    assert first > 4 * last > 0


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (["a", "b", "c"], ["b", "a", "d"], True),  # the first two are the same two
        (["a", "b", "c"], ["a", "c", "b"], False),
        (["a", 3], ["a", "3"], True),
        ([], [], True),
        (["a"], [], False),
        (["a", "a"], ["a", "b"], None),
        (["a", None], ["a", "b"], None),
        ("ab", ["a", "b"], None),
    ],
)
def test_rankings_agree_by_what_stands_on_the_first_places(one: Any, other: Any, agree: bool | None) -> None:
    assert compared("ranking", {"top_k": 2}, one, other)[0] is agree


def test_a_ranking_is_right_when_what_was_wanted_is_on_one_of_the_first_places() -> None:
    judge = make_comparator("ranking", {"top_k": 2}).judge
    assert judge("b", ["a", "b", "c"], None) == Judged(True, 0.5, "reciprocal_rank")
    assert judge(["c", "x"], ["a", "b", "c", "d"], None) == Judged(False, 1 - 1 / 3, "reciprocal_rank")
    assert judge("x", ["a", "b"], None) == Judged(False, 1.0, "reciprocal_rank")
    assert judge([], ["a"], None) == judge("a", "a", None) == Judged(None, None)


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ([1, 0], [3, 0], 1.0),
        ([1, 1], [1, 0], math.sqrt(0.5)),
        ([1, 2, 3], [-1, -2, -3], -1.0),
        ([1e300, 1e300], [1e-300, 1e-300], 1.0),
        ([0, 0], [1, 0], None),
        ([1, 0], [1, 0, 0], None),
        ([True, 0], [1, 0], None),
        ([10**400, 0], [1, 0], None),
        ([], [], None),
    ],
)
def test_vectors_are_compared_by_their_direction(one: Any, other: Any, cosine: float | None) -> None:
    wanted = (None, None) if cosine is None else (cosine >= 0.7, pytest.approx(1 - cosine, abs=1e-12))
    assert compared("vector", {"min_cosine": 0.7}, one, other) == wanted


@pytest.mark.parametrize(
    ("options", "one", "other", "wanted"),
    [
        ({}, "a cat", "a  cat\n", (True, 0.0)),
        ({"ignore_space": False}, "a cat", "a  cat", (False, pytest.approx(1 / 6))),
        ({}, "A cat", "a cat", (False, pytest.approx(1 / 5))),
        ({"ignore_case": True}, "Straße", "STRASSE", (True, 0.0)),
        ({"max_distance": 0.5}, "kitten", "sitting", (True, pytest.approx(3 / 7))),
        ({"max_distance": 0.4}, "kitten", "sitting", (False, pytest.approx(3 / 7))),
        ({}, unicodedata.normalize("NFD", "café"), "café", (True, 0.0)),
        ({}, "", "x", (False, 1.0)),
        ({}, "x" * (LONGEST + 1), "x" * (LONGEST + 1), (True, 0.0)),
        ({"max_distance": 1.0}, "x" * (LONGEST + 1), "x", (False, None)),
        ({}, 3, "3", (None, None)),
    ],
)
def test_texts_agree_when_little_would_have_to_be_written_anew(
    options: dict[str, object], one: Any, other: Any, wanted: tuple[bool | None, Any]
) -> None:
    assert compared("text", options, one, other) == wanted


def test_fields_that_differ_are_named_by_their_path() -> None:
    live = {"id": 7, "who": {"name": "Ada", "age": 36}, "items": [{"price": 1.0}, {"price": 2.0}], "tags": []}
    shadow = {"id": 8, "who": {"name": "Ada"}, "items": [{"price": 1.05}, {"price": 3.0}, {"price": 4}], "tags": None}
    strict, lenient = Structured(), Structured(ignore=("id", "who", "tags"), absolute_tolerance=0.1)
    found = {"id": 1, "who.age": 1, "items[].price": 3, "tags": 1}
    assert strict.differences(live, shadow) == Counter(found)
    assert lenient.differences(live, shadow) == Counter({"items[].price": 2})
    assert strict.compare([live], [None], [shadow], [None]) == ([False], [6 / 7])
    assert lenient.compare([live], [None], [shadow], [None]) == ([False], [2 / 3])


@pytest.mark.parametrize(("one", "other"), [(1, True), ("1", 1), (None, 0), ({}, []), ([], None), (1, [1])])
def test_fields_of_different_kinds_are_different(one: object, other: object) -> None:
    assert compared("json", {}, {"a": one}, {"a": other})[0] is False


def test_json_nested_without_end_is_compared_and_raises_nothing() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    assert compared("json", {}, deep, deep) == (True, 0.0)
    assert compared("json", {}, deep, [deep]) == (False, 1.0)


def near(live: float, shadow: float) -> tuple[bool, float]:
    """A function of one's own."""
    return abs(live - shadow) < 2, abs(live - shadow)


def test_a_function_of_ones_own_decides_and_what_it_cannot_compare_is_not_compared() -> None:
    comparator = make_comparator(f"{__name__}:near", {})
    live, shadow = [1.0, 1.0, "x", None, 1.0], [2.0, 4.0, 1.0, 1.0, math.inf]
    nothing = [None] * len(live)
    assert comparator.compare(live, nothing, shadow, nothing) == (
        [True, False, None, None, False],
        [1.0, 3.0, None, None, None],
    )
    assert comparator.judge(5.0, 4.5, None) == Judged(True, 0.5, "custom")
    assert comparator.judge("x", 4.5, None) == Judged(None, None)
