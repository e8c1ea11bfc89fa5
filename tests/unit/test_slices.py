"""The search for slices: what was planted is found, noise is not, and rules say exactly which rows they hold."""

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowbus.slices.columns import table_of
from shadowbus.slices.row import Row, Target, rows_of
from shadowbus.slices.rule import conditions_of
from shadowbus.slices.search import Search, search
from shadowbus.slices.tree import striking_nodes
from shadowbus.slices.weighted_mean import Sample, mean_bounds

COUNTRIES = ["DE", "FR", "AT", "NL"]


def customer(dice: random.Random) -> dict[str, object]:
    return {
        "country": dice.choice(COUNTRIES),
        "amount": round(dice.lognormvariate(4.5, 0.8), 2),
        "age": dice.randint(18, 80),
    }


def harm_rows(seed: int, count: int, *, harmed: float) -> list[Row]:
    """A shadow that is right more often, but for large amounts in DE, of which it spoils the share `harmed`."""
    dice, rows = random.Random(seed), list[Row]()
    for _ in range(count):
        features = customer(dice)
        bad = features["country"] == "DE" and float(str(features["amount"])) > 120.5
        weights = (harmed, 0.02) if bad else (0.02, 0.06)
        value = dice.choices([1.0, -1.0, 0.0], [*weights, 1 - sum(weights)])[0]
        rows.append(Row(features, value, 1.0, dice.random() < 0.5))
    return rows


def noise_rows(dice: random.Random, count: int, by: Target, *, weighted: bool = False) -> list[Row]:
    """Nothing depends on anything: both models are equally good, and disagree equally often everywhere."""
    draws = {"harm": ([1.0, -1.0, 0.0], [0.05, 0.05, 0.9]), "disagreement": ([1.0, 0.0], [0.1, 0.9])}[by]
    return [
        Row(customer(dice), dice.choices(*draws)[0], dice.choice([1.0, 20.0]) if weighted else 1.0, dice.random() < 0.5)
        for _ in range(count)
    ]


def holds(condition: dict[str, Any], features: dict[str, Any]) -> bool:
    """Whether a row meets a condition, as anybody would read it."""
    value = features.get(condition["feature"])
    if "is" in condition:
        return bool(value == condition["is"])
    if "is_not" in condition:
        return bool(value != condition["is_not"])
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e30:
        return bool(condition["missing"])
    return bool(condition["numbers"]) and condition.get("above", -math.inf) < value <= condition.get("up_to", math.inf)


def test_a_shadow_better_on_the_whole_and_worse_for_some_is_caught() -> None:
    rows = harm_rows(1, 8_000, harmed=0.5)
    found = search(rows, "harm")
    assert found.overall < 0, "the shadow is better on the whole"
    worst = found.slices[0]
    assert worst.shown
    truly = {
        at
        for at, row in enumerate(rows)
        if row.features["country"] == "DE" and float(str(row.features["amount"])) > 120.5
    }
    caught = {at for at, row in enumerate(rows) if all(holds(one, dict(row.features)) for one in worst.conditions)}
    assert len(caught & truly) > 0.9 * max(len(caught), len(truly))
    assert worst.low < 0.48 < worst.high
    assert worst.requests == sum(rows[at].tests for at in caught)


def test_where_a_shadow_disagrees_most_is_found() -> None:
    dice = random.Random(2)
    rows = []
    for _ in range(4_000):
        features = {"premium": dice.random() < 0.3, "age": dice.randint(18, 80)}
        rate = 0.3 if features["premium"] else 0.05
        rows.append(Row(features, float(dice.random() < rate), 1.0, dice.random() < 0.5))
    found = search(rows, "disagreement")
    assert (found.slices[0].rule, found.slices[0].shown) in [("premium = true", True), ("premium is not false", True)]
    assert found.slices[0].low < 0.25 < found.slices[0].high


@pytest.mark.parametrize(("by", "weighted"), [("harm", False), ("disagreement", False), ("harm", True)])
def test_in_noise_a_slice_is_shown_no_more_often_than_allowed(by: Target, weighted: bool) -> None:
    dice, alpha, runs = random.Random(3), 0.2, 60
    shown = sum(
        any(one.shown for one in search(noise_rows(dice, 600, by, weighted=weighted), by, alpha=alpha).slices)
        for _ in range(runs)
    )
    assert shown <= alpha * runs


def test_bounds_miss_the_mean_no_more_often_than_allowed_whatever_the_weights() -> None:
    random_numbers, alpha, runs, missed = np.random.default_rng(4), 0.2, 400, 0
    for _ in range(runs):
        values = random_numbers.choice([-1.0, 0.0, 1.0], 80, p=[0.05, 0.85, 0.1])
        weights = random_numbers.choice([1.0, 10.0], 80, p=[0.5, 0.5])
        like = random_numbers.choice([-1.0, 0.0, 1.0], 80, p=[0.2, 0.6, 0.2])  # only thought to be like them
        bounds = mean_bounds(Sample(values, weights), Sample(like, weights), -1, 1, alpha)
        missed += 0.05 not in bounds
    assert missed <= alpha * runs


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(0, 100)), max_size=30))
def test_bounds_hold_what_was_seen_and_nothing_that_cannot_be(rows: list[tuple[float, float]]) -> None:
    values, weights = np.array([value for value, _ in rows]), np.array([weight for _, weight in rows])
    sample, like = Sample(values, weights), Sample(np.zeros(0), np.zeros(0))
    bounds = mean_bounds(sample, like, -1, 1, 0.05)
    assert -1 <= bounds.low <= bounds.high <= 1
    if weights.sum() > 0:
        assert bounds.low - 1e-9 <= np.average(values, weights=weights) <= bounds.high + 1e-9
    scaled = mean_bounds(Sample(values, weights / 8), like, -1, 1, 0.05)
    assert (scaled.low, scaled.high) == pytest.approx((bounds.low, bounds.high), abs=1e-6)


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.none(), max_size=1)
)
hostile_rows = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "<script>", "\x1b[31m", ""]), anything | st.integers(0, 5), max_size=4),
    min_size=60,
    max_size=120,
)


@given(hostile_rows, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_rule_says_exactly_which_rows_a_node_holds_whatever_the_values(rows: list[dict[str, Any]], dice: Any) -> None:
    table = table_of(rows, 5)
    if not table.columns:
        return
    values = np.array([dice.choice([0.0, 1.0]) for _ in rows])
    every = np.ones(len(rows), bool)
    nodes = striking_nodes(table, values, values * 0 + 1, every, depth=3, fewest=5, most=50, floor=-10.0)
    for node in nodes:
        conditions = [one.record() for one in conditions_of(node.splits, table)]
        said = [
            all(
                holds(
                    one,
                    {
                        name: "true" if value is True else "false" if value is False else value
                        for name, value in row.items()
                    },
                )
                for one in conditions
            )
            for row in rows
        ]
        assert said == node.holds.tolist(), conditions


def test_missing_values_are_a_slice_of_their_own_in_words() -> None:
    dice, rows = random.Random(5), list[Row]()
    for _ in range(3_000):
        gone = dice.random() < 0.2
        features: dict[str, object] = (
            {"age": dice.randint(18, 80)} if gone else {"age": 3, "income": dice.random() * 1e5}
        )
        rows.append(
            Row(
                {**features, "age": dice.randint(18, 80)},
                float(dice.random() < (0.4 if gone else 0.1)),
                1.0,
                dice.random() < 0.5,
            )
        )
    found = search(rows, "disagreement")
    assert ("income is missing", True) in [(one.rule, one.shown) for one in found.slices]


@pytest.mark.parametrize(
    "rows", [[], [Row({}, 1.0, 1.0, True)] * 5, [Row({"a": 1}, 0.0, 0.0, at % 2 == 0) for at in range(200)]]
)
def test_with_too_little_to_go_by_nothing_is_found(rows: list[Row]) -> None:
    assert search(rows, "harm").slices == search(rows, "disagreement").slices == ()


def comparison(number: int, **changes: object) -> bytes:
    record = {
        "request_id": f"r{number}",
        "timestamp_ms": number,
        "trial": "live@1~s@1",
        "status": "compared",
        "agree": True,
    }
    return json.dumps({**record, "segments": {"country": "DE"}, **changes}).encode()


def outcome(number: int, live: bool | None, shadow: bool | None, **changes: object) -> bytes:
    record = {"request_id": f"r{number}", "trial": "live@1~s@1", "live_correct": live, "shadow_correct": shadow}
    return json.dumps({**record, **changes}).encode()


def test_rows_of_disagreement_are_the_compared_ones_of_the_newest_trial() -> None:
    values = [
        comparison(1),
        comparison(2, agree=False, weight=4.0),
        comparison(3, agree=None),
        comparison(0, trial="live@1~s@0"),
        comparison(9, trial="live@1~other@7", agree=False),
        b"no json",
        b'{"request_id": 3}',
    ]
    found = rows_of(values, [], "s", "disagreement")
    assert (found.trial, found.with_features) == ("live@1~s@1", False)
    assert [(row.features, row.value, row.weight) for row in found.rows] == [
        ({"country": "DE"}, 0.0, 1.0),
        ({"country": "DE"}, 1.0, 4.0),
    ]
    assert rows_of(values, [], "s", "disagreement", "live@1~s@0").trial == "live@1~s@0"
    assert rows_of(values, [], "nobody", "harm").trial == ""


def test_where_features_are_kept_rows_without_are_left_out() -> None:
    values = [comparison(1, features={"x": 1, "country": "FR"}), comparison(2), comparison(3, features=[7, 8])]
    found = rows_of(values, [], "s", "disagreement")
    assert found.with_features
    assert [row.features for row in found.rows] == [
        {"x": 1, "country": "FR"},
        {"country": "DE", "feature 0": 7, "feature 1": 8},
    ]


def test_rows_of_harm_are_outcomes_that_stand() -> None:
    outcomes = [
        outcome(1, live=True, shadow=False),
        outcome(2, live=False, shadow=True, weight=5.0),
        outcome(3, live=True, shadow=True),
        outcome(3, live=True, shadow=True, retracts=True),
        outcome(3, live=False, shadow=True),
        outcome(4, live=None, shadow=True),
        outcome(5, live=True, shadow=True),
        outcome(5, live=True, shadow=True, retracts=True),
        outcome(99, live=True, shadow=False),
        outcome(1, live=False, shadow=True, trial="live@1~other@1"),
    ]
    found = rows_of([comparison(number) for number in range(6)], outcomes, "s", "harm")
    assert [(row.value, row.weight) for row in found.rows] == [(1.0, 1.0), (-1.0, 5.0), (-1.0, 1.0)]
    assert found.unmet == 1


def test_a_search_is_the_same_each_time_and_says_all_as_plain_data() -> None:
    rows = harm_rows(6, 2_000, harmed=0.6)
    first, second = search(rows, "harm"), search(rows, "harm")
    assert isinstance(first, Search)
    assert first == second
    assert json.loads(json.dumps(first.record()))["slices"][0]["rule"] == first.slices[0].rule
