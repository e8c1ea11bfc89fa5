"""Where the gate's arithmetic has an edge: no spread, values at their reach, limits that nothing can show."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.vocabulary import Vocabulary
from shadowbus.decide.evidence import evidence_of
from shadowbus.errors import SettingsError
from shadowbus.limits import MOST_DAYS
from shadowbus.settings import GateSettings, parse_settings
from shadowbus.stage import RecordBatch
from shadowbus.statistics.moments import Moments
from shadowbus.totals.days import HOUR_MS, Days
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import Key
from shadowbus.totals.totals import Totals
from shadowbus.verdict.conditions import DAY_MS, days
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
        "min_days = 401",
        "min_days = inf",
        "latency_budget_ms = inf\nmax_over_budget = 0.1",
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


MONDAY = 20_426 * DAY_MS
MINUTE_MS = 60_000


def traffic(start: float, end: float) -> list[int]:
    """A request each minute, from one day to another."""
    return list(range(MONDAY + round(start * DAY_MS), MONDAY + round(end * DAY_MS), MINUTE_MS))


OFFICE = [time for day in range(5) for time in traffic(day + 9 / 24, day + 17 / 24)]
HOUR = 1 / 24
WATCHED = {
    "nothing": ([], 0.0),
    "one request": ([MONDAY], 0.0),
    "an hour": (traffic(0.5, 0.5 + HOUR), HOUR),
    "an hour and a stray last year": ([MONDAY - 300 * DAY_MS, *traffic(0.5, 0.5 + HOUR)], HOUR),
    "an hour and a stray of 1970": ([0, *traffic(0.5, 0.5 + HOUR)], HOUR),
    "an hour and a stray to come": ([*traffic(0.5, 0.5 + HOUR), MONDAY + 8 * DAY_MS], HOUR),
    "ten hours and a stray at each end of the day": ([MONDAY, *traffic(8 / 24, 0.75), MONDAY + DAY_MS - 1], 10 * HOUR),
    "ten hours and strays on thirty days": (
        [MONDAY - day * DAY_MS for day in range(30)] + traffic(5 * HOUR, 15 * HOUR),
        10 * HOUR,
    ),
    "two hours a week apart": (traffic(0.4, 0.4 + HOUR) + traffic(7.4, 7.4 + HOUR), 1 + HOUR),
    "36 hours": (traffic(0.3, 1.8), 1.5),
    "three whole days": (traffic(0, 3), 3.0),
    "a request an hour for three days": (list(range(MONDAY, MONDAY + 3 * DAY_MS, HOUR_MS)), 3.0),
    "Friday, Monday and Tuesday": (traffic(4, 5) + traffic(7, 9), 3.0),
    "five days in the office": (OFFICE, 4 + 8 * HOUR),
    "two weeks in the office": (OFFICE + [time + 7 * DAY_MS for time in OFFICE], 9 + 8 * HOUR),
    "a week with a quiet weekend": (traffic(0, 5) + traffic(5, 7)[::5] + traffic(7, 7.5), 7.5),
    "six days and one with a rush": (traffic(0, 6) + traffic(6, 7) * 50, 7.0),
}


@pytest.mark.parametrize("name", WATCHED)
def test_days_are_those_that_had_traffic(name: str) -> None:
    times, expected = WATCHED[name]
    totals = [Totals(days=Days.of(np.array(times[part::3], np.int64))) for part in range(3)]
    evidence = evidence_of("live@1~new@2", {"all": Totals.union(totals)}, {})
    assert days(evidence) == pytest.approx(expected, abs=2 / 24 / 60)
    counts = Counts(comparisons=50_000, asked=50_000)
    seen = replace(
        Evidence("live@1~new@2", counts, {}),
        **{one: getattr(evidence, one) for one in ("first_ms", "last_ms", "idle_days")},
    )
    for least, verdict in ((expected + 0.1, "KEEP_WATCHING"), (max(0.0, expected - 0.1), "PROMOTE")):
        decision = decide(seen, GateSettings(max_error_rate=0.01, min_requests=0, min_days=least))
        assert decision.verdict == verdict
        if verdict == "KEEP_WATCHING" and seen.first_ms is not None:
            assert named(decision, "days").value == days(evidence)
            assert decision.needed.at_ms is not None


def slice_of(values: list[bytes]) -> RecordBatch:
    here = range(len(values))
    return RecordBatch("comparisons", 0, [b"r"] * len(values), list(values), [0] * len(values), list(here))


def comparison(time_ms: int, **more: Any) -> bytes:
    answer = {"model": "new@2", "prediction": "yes", "scores": None, "latency_ms": 1.0, "error": None}
    record = {"request_id": "r", "timestamp_ms": time_ms, "trial": "live@1~new@2", "status": "compared"}
    return orjson.dumps({**record, "live": answer, "shadow": answer, "agree": True, "distance": 0.0, **more})


def test_what_is_no_evidence_makes_no_day() -> None:
    """Requests the model was trained on, with whatever became of them, and predictions without a request."""
    before: list[dict[str, Any]] = [
        {"trained_on": True},
        {"trained_on": True, "status": "shadow_error", "shadow": None, "agree": None},
    ]
    missing: dict[str, Any] = {"status": "request_missing", "shadow": None, "agree": None, "distance": None}
    values = [comparison(MONDAY + day * DAY_MS, **one) for day in range(5) for one in (*before, missing)]
    values += [comparison(time) for time in traffic(6, 6.5)]
    terms = MetricDefinitions(1_000)
    folded = fold(slice_of(values), lambda trial: Vocabulary.of(trial, terms), terms)
    assert not folded.rejected
    whole = folded.totals[Key("live@1~new@2")]
    assert days(evidence_of("live@1~new@2", {"all": whole}, {})) == pytest.approx(0.5, abs=0.001)
    assert all(not part.days for key, part in folded.totals.items() if key.window != "all")


def test_the_newest_days_are_kept_and_what_is_no_day_is_refused() -> None:
    many = Days.of(np.arange(0, 2 * MOST_DAYS * DAY_MS, DAY_MS))
    assert sorted(many.rows) == list(range(MOST_DAYS, 2 * MOST_DAYS))
    assert Days.from_record(many.to_record()) == many
    record = Totals(days=many).to_record()
    assert not Totals.from_record({name: one for name, one in record.items() if name != "days"}).days  # an older one
    for odd in (
        {"1": [0] * 26},
        {"1": [DAY_MS] * 25},
        {"one": [DAY_MS] * 26},
        {"1": None},
        {"1": [DAY_MS, 1, *[1] * 24]},
    ):
        with pytest.raises((TypeError, ValueError)):
            Days.from_record(odd)
