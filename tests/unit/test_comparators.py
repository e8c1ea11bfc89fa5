"""What every comparator promises, whatever the values, and what each kind of answer means by agreeing."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shadowbus.compare import Comparator, Judged, make_comparator
from shadowbus.compare.class_name import class_name
from shadowbus.errors import SettingsError

MAKERS: dict[str, Callable[[], Comparator]] = {
    "classification": lambda: make_comparator("classification", {}),
    "threshold": lambda: make_comparator("classification", {"threshold": 0.5}),
    "regression": lambda: make_comparator("regression", {"absolute_tolerance": 0.5, "relative_tolerance": 0.1}),
    "ranking": lambda: make_comparator("ranking", {"top_k": 2, "min_overlap": 0.5}),
    "vector": lambda: make_comparator("vector", {"min_cosine": 0.5}),
    "text": lambda: make_comparator("text", {"max_distance": 0.3, "ignore_case": True}),
    "json": lambda: make_comparator("json", {"ignore": ["a"], "absolute_tolerance": 0.5}),
    "custom": lambda: make_comparator("operator:is_", {}),
}
SYMMETRIC: dict[str, Callable[[], Comparator]] = {
    **{task: MAKERS[task] for task in ("classification", "threshold", "ranking", "vector", "text", "json", "custom")},
    "regression": lambda: make_comparator("regression", {"absolute_tolerance": 0.5, "relative_tolerance": 0}),
}

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 3)
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["1", "1.0", "true", "False", "nan", "1e999", "1_0", "٣"])
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
# Mostly what scores look like, sometimes what they should not.
weights = st.lists(st.floats(0.01, 1), min_size=1, max_size=4)
lists = weights.map(lambda row: [value / math.fsum(row) for value in row])
objects = lists.map(lambda row: {str(position): value for position, value in enumerate(row)})
scores = (
    st.none()
    | lists
    | objects
    | st.lists(leaves, max_size=3)
    | st.dictionaries(st.text(max_size=2), leaves, max_size=3)
)
pairs = st.lists(st.tuples(json_values, scores, json_values, scores), max_size=6)


@pytest.fixture(params=MAKERS)
def comparator(request: pytest.FixtureRequest) -> Comparator:
    return MAKERS[request.param]()


def columns(rows: list[tuple[Any, Any, Any, Any]]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(rows=pairs)
def test_any_values_give_one_plain_result_each(make: Callable[[], Comparator], rows: list[Any]) -> None:
    agree, distance = make().compare(*columns(rows))
    assert len(agree) == len(distance) == len(rows)
    for same, apart in zip(agree, distance, strict=True):
        assert same is None or type(same) is bool
        assert apart is None or (type(apart) is float and 0 <= apart < math.inf)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(rows=pairs)
def test_a_pair_is_compared_alike_alone_and_in_a_batch(make: Callable[[], Comparator], rows: list[Any]) -> None:
    agree, distance = make().compare(*columns(rows))
    alone = [make().compare(*columns([row])) for row in rows]
    assert agree == [one[0][0] for one in alone]
    assert distance == [None if one[1][0] is None else pytest.approx(one[1][0]) for one in alone]


@pytest.mark.parametrize("make", SYMMETRIC.values(), ids=SYMMETRIC)
@given(rows=pairs)
def test_exchanging_the_sides_changes_nothing(make: Callable[[], Comparator], rows: list[Any]) -> None:
    live, live_scores, shadow, shadow_scores = columns(rows)
    there = make().compare(live, live_scores, shadow, shadow_scores)
    back = make().compare(shadow, shadow_scores, live, live_scores)
    assert there[0] == back[0]
    assert there[1] == [None if one is None else pytest.approx(one) for one in back[1]]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(value=json_values, given_scores=scores)
def test_an_answer_never_disagrees_with_itself(make: Callable[[], Comparator], value: Any, given_scores: Any) -> None:
    agree, distance = make().compare([value], [given_scores], [value], [given_scores])
    assert agree[0] is not False
    assert distance[0] is None or distance[0] == pytest.approx(0)
    if agree[0] is None and make().task == "regression":
        assert distance[0] is None


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(label=json_values, prediction=json_values, given_scores=scores)
def test_judging_any_values_gives_plain_numbers(
    make: Callable[[], Comparator], label: Any, prediction: Any, given_scores: Any
) -> None:
    judged = make().judge(label, prediction, given_scores)
    assert judged.correct is None or type(judged.correct) is bool
    assert judged.loss is None or (type(judged.loss) is float and 0 <= judged.loss < math.inf)
    assert (judged.loss is None) == (judged.measure is None)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(value=json_values)
def test_null_is_never_right_wrong_or_equal(make: Callable[[], Comparator], value: Any) -> None:
    assert make().compare([None, value], [None] * 2, [value, None], [None] * 2) == ([None, None], [None, None])
    assert make().judge(None, value, None) == make().judge(value, None, None) == Judged(None, None)


def test_nothing_compares_to_nothing(comparator: Comparator) -> None:
    assert comparator.compare([], [], [], []) == ([], [])


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, "1"), ("1.0", 1), (True, 1), (True, "true"), ("True", "1"), (False, 0.0), ("a", " a "), (10**17,
     str(10**17)), ([1, "b"], [1.0, "b"])],
)  # fmt: skip
def test_one_class_written_in_two_ways_is_one_class(one: object, other: object) -> None:
    assert make_comparator("classification", {}).compare([one], [None], [other], [None]) == ([True], [0.0])
    assert make_comparator("classification", {}).judge(one, other, None) == Judged(True, 0.0, "zero_one")


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 2), (True, False), (True, 2), ("03", 3), ("03", "3"), ("yes", True), ("A", "a"), (0.1, 0.2), ([1, 2], [2, 1]),
("", 0)], )  # fmt: skip
def test_two_classes_are_never_taken_for_one(one: object, other: object) -> None:
    assert make_comparator("classification", {}).compare([one], [None], [other], [None]) == ([False], [1.0])
    assert make_comparator("classification", {}).judge(one, other, None) == Judged(False, 1.0, "zero_one")


@given(st.lists(leaves, min_size=2, max_size=6))
def test_a_batch_agrees_exactly_where_the_class_names_are_equal(values: list[object]) -> None:
    turned = values[1:] + values[:1]
    nothing = [None] * len(values)
    agree, _ = make_comparator("classification", {}).compare(values, nothing, turned, nothing)
    names = [class_name(value) for value in values]
    wanted = [None if None in pair else pair[0] == pair[1] for pair in zip(names, names[1:] + names[:1], strict=True)]
    assert agree == wanted


@given(lists, lists)
def test_distance_of_scores_is_half_the_sum_of_differences_in_every_form(one: list[float], other: list[float]) -> None:
    assume(len(one) == len(other))
    wanted = pytest.approx(sum(abs(p - q) for p, q in zip(one, other, strict=True)) / 2)
    compare = make_comparator("classification", {}).compare
    named = [{f"class {at}": p for at, p in enumerate(row)} for row in (one, other)]
    by_number = {str(at): p for at, p in enumerate(other)}
    assert compare([0] * 2, [one] * 2, [0] * 2, [other] * 2)[1] == [wanted] * 2
    assert compare([0] * 2, [one] * 2, [0] * 2, [by_number] * 2)[1] == [wanted] * 2
    assert compare([0] * 2, [named[0]] * 2, [0] * 2, [named[1]] * 2)[1] == [wanted] * 2


@pytest.mark.parametrize(
    "odd", [None, [], [0.4, 0.4], [-0.5, 1.5], [math.nan, 1.0], ["0.5", "0.5"], [None, 1.0], {"1": 0.7}, {"1": 0.5,
"1.0": 0.5}, 3] )  # fmt: skip
def test_scores_that_are_no_probabilities_leave_the_distance_to_agreement(odd: Any) -> None:
    good = [0.5, 0.5]
    compare = make_comparator("classification", {}).compare
    assert compare([1, 1, 1], [good, odd, good], [1, 1, 2], [[0.75, 0.25], good, odd]) == (
        [True, True, False],
        [0.25, 0.0, 1.0],
    )


def test_a_class_that_only_one_model_knows_counts_as_probability_zero_for_the_other() -> None:
    compare = make_comparator("classification", {}).compare
    assert compare(["a"], [{"a": 1.0, "b": 0.0}], ["c"], [{"a": 0.25, "c": 0.75}]) == ([False], [0.75])


@pytest.mark.parametrize("label", [1, "1", True, 1.0])
@pytest.mark.parametrize("given_scores", [[0.75, 0.25], {"0": 0.75, "1": 0.25}, {"false": 0.75, "true": 0.25}])
def test_log_loss_finds_the_label_however_it_is_written(label: object, given_scores: Any) -> None:
    judged = make_comparator("classification", {}).judge(label, 0, given_scores)
    assert (judged.correct, judged.measure) == (False, "log_loss")
    assert judged.loss == pytest.approx(math.log(4))


def test_a_label_without_any_chance_costs_a_bounded_loss() -> None:
    judged = make_comparator("classification", {}).judge("b", "a", {"a": 1.0, "b": 0.0})
    assert judged.loss == pytest.approx(15 * math.log(10))


def test_a_label_that_the_scores_do_not_know_costs_by_being_wrong() -> None:
    assert make_comparator("classification", {}).judge("c", "a", {"a": 0.9, "b": 0.1}) == Judged(False, 1.0, "zero_one")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_threshold_decides_by_the_positive_score_however_it_is_written(
    live: float, shadow: float, threshold: float, truth: bool
) -> None:
    comparator = make_comparator("classification", {"threshold": threshold, "positive": "yes"})
    forms: list[Any] = [{"yes": shadow, "no": 1 - shadow}, {" yes ": shadow}, {"no": 3, "yes": shadow}]
    for form in forms:
        agree, distance = comparator.compare(["no"], [{"yes": live}], ["no"], [form])
        assert agree == [(live >= threshold) == (shadow >= threshold)]
        assert distance == [abs(live - shadow)]
        judged = comparator.judge("yes" if truth else "no", "no", form)
        assert (judged.correct, judged.measure) == ((shadow >= threshold) == truth, "log_loss")
        assert math.exp(-(judged.loss or 0)) == pytest.approx(max(shadow if truth else 1 - shadow, 1e-15))


@pytest.mark.parametrize(
    "odd", [None, [0.5], ["0", "0.9"], [0, True], {"1": None}, {"1": 0.9, "1.0": 0.9}, [0, math.inf]]
)
def test_without_a_score_of_the_positive_class_the_prediction_decides(odd: Any) -> None:
    comparator = make_comparator("classification", {"threshold": 0.5})
    assert comparator.compare([1, 0], [odd] * 2, [True, "1"], [[0.1, 0.9]] * 2) == ([True, False], [0.0, 1.0])
    assert comparator.judge("1", 0, odd) == Judged(False, 1.0, "zero_one")


def test_margins_are_scores_too_where_there_is_a_threshold() -> None:
    comparator = make_comparator("classification", {"threshold": -1})
    assert comparator.compare([0], [[0, -0.5]], [0], [[0, -2]]) == ([False], [1.5])
    assert comparator.judge(1, 0, [0, -0.5]) == Judged(True, 0.0, "zero_one")


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 1))
def test_numbers_agree_within_the_larger_tolerance(
    live: float, shadow: float, absolute: float, relative: float
) -> None:
    comparator = make_comparator("regression", {"absolute_tolerance": absolute, "relative_tolerance": relative})
    agree, distance = comparator.compare([live], [None], [shadow], [None])
    assert distance == [abs(live - shadow)]
    assert agree == [abs(live - shadow) <= max(absolute, relative * abs(live))]
    assert comparator.judge(live, shadow, None) == Judged(agree[0], distance[0], "absolute_error")


@pytest.mark.parametrize("odd", [True, "three", "nan", "0\x1f", "1_000", "", [1.0], {"value": 1}, math.inf, 10**400])
def test_what_is_no_number_is_not_compared_as_one(odd: object) -> None:
    comparator = make_comparator("regression", {})
    assert comparator.compare([odd, 1.0], [None] * 2, [1.0, odd], [None] * 2) == ([None, None], [None, None])
    assert comparator.judge(odd, 1.0, None) == Judged(None, None)


@pytest.mark.parametrize("text", ["3.5", " 3.5 ", "+3.5", "35e-1"])
def test_a_number_that_came_as_text_is_a_number(text: str) -> None:
    assert make_comparator("regression", {}).judge(text, 3.5, None) == Judged(True, 0.0, "absolute_error")


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("clasification", {}, "did you mean 'classification'"),
        ("audio", {}, "there are: classification, json, ranking, regression, text, vector"),
        ("ranking", {"top_k": 0}, "whole number of at least 1"),
        ("ranking", {"min_overlap": 1.5}, "number from 0 to 1"),
        ("vector", {"min_cosine": -2}, "number from -1 to 1"),
        ("text", {"ignore_case": "yes"}, "true or false"),
        ("json", {"ignore": "id"}, "list of texts"),
        ("no_such_module:same", {}, "cannot be imported: ModuleNotFoundError"),
        ("math:pi", {}, "no function"),
        ("regression", {"absolute_tolerence": 1}, "did you mean 'absolute_tolerance'"),
        ("classification", {"absolute_tolerance": 1}, "there are: positive, same_class, threshold"),
        ("classification", {"positive": "yes"}, "nothing without a 'threshold'"),
        ("classification", {"threshold": "half"}, "must be a number, not"),
        ("classification", {"threshold": 0.5, "positive": 1}, "must be a text"),
        ("regression", {"absolute_tolerance": -1}, "number of at least 0"),
        ("regression", {"relative_tolerance": "5%"}, "number of at least 0"),
        ("regression", {"relative_tolerance": True}, "number of at least 0"),
        ("regression", {"relative_tolerance": math.nan}, "number of at least 0"),
    ],
)
def test_a_wrong_task_or_option_is_told_what_is_right(task: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_comparator(task, options)
