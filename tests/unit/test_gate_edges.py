"""Where the gate's arithmetic has an edge: no spread, values at their reach, limits that nothing can show."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowbus.aggregate.moments import Moments
from shadowbus.errors import SettingsError
from shadowbus.settings import GateSettings, parse_settings
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.criterion import Criterion, Decision
from shadowbus.verdict.gate import decide
from shadowbus.verdict.sequential import EFFECT, mean_high, mean_low, paired_low

OFTEN = settings(max_examples=80)


def moments_of(values: list[float]) -> Moments:
    return Moments.of(np.array(values))


def asked(gate: GateSettings, counts: Counts, **more: Any) -> Decision:
    return decide(replace(Evidence("live@1~new@2", counts, {}), **more), replace(gate, min_requests=0))


def named(decision: Decision, name: str) -> Criterion:
    (found,) = [criterion for criterion in decision.criteria if criterion.name == name]
    return found


@pytest.mark.parametrize("difference", [0.0, 0.1, 0.25, 0.3, 0.7, -0.1, 1e-12, 1e9])
@pytest.mark.parametrize("n", [300, 1_000, 100_000])
def test_a_loss_that_never_differs_is_decided_on_the_side_where_it_is(difference: float, n: int) -> None:
    seen = moments_of([difference] * n)
    counts = Counts(labels=n, loss_n=n, loss_mean=seen.mean, loss_m2=seen.m2)
    for limit, state in (
        (difference + abs(difference) * 0.1 + 1e-15, "holds"),
        (difference - abs(difference) * 0.1 - 1e-15, "fails"),
    ):
        criterion = named(asked(GateSettings(max_loss_increase=limit), counts), "loss")
        assert criterion.state == state
        assert criterion.low <= difference * (1 + 1e-12) + 1e-300
        assert math.isfinite(criterion.low)


def test_a_shadow_that_is_the_champion_is_promoted_with_a_limit_on_the_loss() -> None:
    counts = Counts(comparisons=2_000, asked=2_000, labels=2_000, loss_n=2_000, loss_mean=0.0, loss_m2=0.0)
    for limit in (0.0, 0.01):
        assert asked(GateSettings(max_loss_increase=limit), counts).verdict == "PROMOTE"
    early = replace(counts, labels=200, loss_n=200)
    assert asked(GateSettings(max_loss_increase=0.01), early).verdict == "KEEP_WATCHING"


@OFTEN
@given(
    st.integers(300, 10**9),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6) | st.floats(0, 1e-25) | st.sampled_from([0.0, 5e-324, math.inf]),
)
def test_every_search_for_an_end_of_a_mean_ends_around_it(n: int, mean: float, variance: float) -> None:
    low, high = mean_low(n, mean, variance * n, 0.05), mean_high(n, mean, variance * n, 0.05)
    assert low <= mean <= high


@OFTEN
@given(
    st.integers(1, 9_000),
    st.sampled_from([0.1, 0.3, 0.7, 1.0, 3.3, 1e-9, 1e9]) | st.floats(1e-3, 1e3),
    st.sampled_from([-1, 1]),
)
def test_values_that_all_sit_at_the_reach_are_decided(n: int, reach: float, side: int) -> None:
    seen = moments_of([side * reach] * n)
    counts = Counts(labels=n, value_n=n, value_mean=seen.mean, value_m2=seen.m2)
    criterion = named(asked(GateSettings(min_value_gain=0.0), counts, value_reach=reach), "value")
    assert -reach * (1 + 1e-9) <= criterion.low <= criterion.high <= reach * (1 + 1e-9)
    if n > 2_000:
        assert criterion.state == ("holds" if side > 0 else "fails")


GATE = """
namespace = "churn"
[kafka]
"bootstrap.servers" = "localhost:9092"
[gate]
{line}
{costs}
"""


def parsed(line: str, costs: str = "") -> Any:
    return parse_settings(tomllib.loads(GATE.format(line=line, costs=costs)), Path("shadow.toml"), {})


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"{key} = {value}"
            for key in ("max_error_rate", "min_agreement", "max_calibration_error")
            for value in (0, 1)
        ),
        "latency_budget_ms = 50\nmax_over_budget = 0",
        "latency_budget_ms = 0\nmax_over_budget = 0.1",
        "accuracy_margin = 1",
        "min_accuracy_gain = 1",
        "max_cpu_ms_per_row = 0",
        "max_memory_mb = 0",
        "min_value_gain = 2",
        "min_value_gain = -2",
    ],
)
def test_a_limit_that_nothing_can_show_or_nothing_has_to_is_refused(line: str) -> None:
    costs = '[[cost]]\nlabel = "a"\nprediction = "b"\ncost = 2\n[[cost]]\nlabel = "b"\nprediction = "a"\ncost = -1.5'
    with pytest.raises(SettingsError, match=f"'gate.{line.split()[-3] if 'budget' not in line else ''}"):
        parsed(line, costs)


@pytest.mark.parametrize(
    "line", ["max_error_rate = 0.0001", "accuracy_margin = 0", "min_accuracy_gain = 0", "min_value_gain = 1.9"]
)
def test_and_a_limit_that_something_can_show_is_not(line: str) -> None:
    parsed(line, '[[cost]]\nlabel = "a"\nprediction = "b"\ncost = 2')


@pytest.mark.parametrize("margin", [0.001, 0.005, 0.02, 0.05])
def test_the_margin_of_the_settings_is_what_the_stakes_are_made_for(margin: float) -> None:
    counts = Counts(labels=4_000, both_right=3_600, shadow_only=200, live_only=190)
    criterion = named(asked(GateSettings(accuracy_margin=margin), counts), "accuracy")
    assert criterion.low == paired_low(200, 190, 3_990, 0.05, margin)
    assert criterion.low != paired_low(200, 190, 3_990, 0.05, EFFECT)
