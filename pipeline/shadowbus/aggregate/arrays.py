"""Columns as arrays: what can be added up without looking at a record again."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.parse import Columns
from shadowbus.aggregate.probabilities import Floats, Probabilities
from shadowbus.aggregate.rows import ComparisonRow, OutcomeRow
from shadowbus.records import SHADOW_FAILURES, STATUSES
from shadowbus.statistics.logarithm import log
from shadowbus.statistics.moments import Values
from shadowbus.totals.totals import COUNTERS, INDEX, LIVE_TIMED
from shadowbus.totals.weights import FINEST

LARGEST = 1e100
"""Larger distances, losses and costs are counted as this: their squares would overflow."""

_FAILED = [STATUSES.index(name) for name in SHADOW_FAILURES]
_COMPARED = STATUSES.index("compared")
_NOT_ASKED = STATUSES.index("request_missing")


@dataclass(frozen=True, slots=True)
class ColumnArrays:
    """The n records of a slice as arrays.

    Attributes:
        counts: Shape (n, counters): what each counts for, in the order of `COUNTERS`; negative where it is taken back.
        times: Milliseconds.
        weights: Multiples of 2^-20, so that their sums are exact. None: all 1.
        signs: 1 for what is added, -1 for what is taken back. None: all 1.
        moments: Shape (columns, n): the numbers whose moments are kept, named by `COMPARISON_MOMENTS` or
            `OUTCOME_MOMENTS`; NaN is none.
        values: The same, ready to be added up.
    """

    counts: NDArray[np.int64]
    times: NDArray[np.int64]
    weights: Floats | None
    signs: Floats | None
    moments: Floats
    values: Values


@dataclass(frozen=True, slots=True)
class ComparisonArrays(ColumnArrays):
    """Of comparisons. Answers are class codes or numbers, NaN unless both models answered."""

    live_latency: Floats
    shadow_latency: Floats
    live_answer: Floats
    shadow_answer: Floats
    lacking: NDArray[np.int64]
    evident: NDArray[np.bool_]  # what the shadow answered, and is from after its training


@dataclass(frozen=True, slots=True)
class OutcomeArrays(ColumnArrays):
    """Of outcomes: class codes (-1: none) of the labels and of both answers, and what both sides' scores said."""

    label: NDArray[np.int64]
    live_answer: NDArray[np.int64]
    shadow_answer: NDArray[np.int64]
    live: Probabilities
    shadow: Probabilities


COMPARISON_MOMENTS = ("distance", "latency_difference")
OUTCOME_MOMENTS = (
    *("loss", "value", "live_loss", "shadow_loss", "live_value"),
    *("live_log_loss", "log_loss", "live_brier", "brier"),
)
"""The names that moments have in totals, in the order of the rows of `ColumnArrays.moments`."""

LEAST = 1e-15
"""The least probability that log loss reckons with, as in `compare/classification.py`."""


def comparison_arrays(columns: Columns) -> ComparisonArrays:
    """The arrays of what was read from `comparisons`."""
    of: ComparisonRow[Floats] = ComparisonRow._make(_by_column(columns, len(ComparisonRow._fields)))
    counts = np.zeros((of.status.size, len(COUNTERS)), np.int64)
    counts[np.arange(of.status.size), of.status.astype(np.int64)] = 1
    counts[:, INDEX["agreed"]] = of.agree == 1
    counts[:, INDEX["disagreed"]] = of.agree == 2
    counts[:, INDEX["latency_rows"]] = of.shadow_latency >= -np.inf
    counts[:, INDEX["over_budget"]] = of.shadow_latency > _budgets(columns)
    counts[:, INDEX["live_errors"]] = of.live_error
    counts[:, INDEX["shadow_errors"]] = (of.shadow_error == 1) | np.isin(of.status, _FAILED)
    counts[:, INDEX["missing_features"]] = of.lacking > 0
    counts[:, INDEX["trained_on"]] = (of.trained_on == 1) & (of.status == _COMPARED)
    evident = (of.trained_on == 0) & (of.status != _NOT_ASKED) & (counts[:, INDEX["shadow_errors"]] == 0)
    for kind, name in enumerate(LIVE_TIMED, start=1):
        counts[:, INDEX[name]] = of.live_timed == kind
    alike = (of.shadow_timed > 0) & (of.shadow_timed == of.live_timed)
    gap = np.where(alike, of.shadow_latency - of.live_latency, np.nan)
    moments = np.stack((of.distance, gap)).clip(-LARGEST, LARGEST)
    weights = _weights(columns)
    return ComparisonArrays(
        counts=counts,
        times=np.array(columns.times, np.int64),
        weights=weights,
        signs=None,
        moments=moments,
        values=Values.of(moments, weights),
        live_latency=of.live_latency,
        shadow_latency=of.shadow_latency,
        live_answer=of.live_answer,
        shadow_answer=of.shadow_answer,
        lacking=of.lacking.astype(np.int64),
        evident=evident,
    )


def outcome_arrays(columns: Columns) -> OutcomeArrays:
    """The arrays of what was read from `outcomes`."""
    of: OutcomeRow[Floats] = OutcomeRow._make(_by_column(columns, len(OutcomeRow._fields)))
    labels, lives, live_scores, shadows, shadow_scores = zip(*columns.labelled, strict=True)
    live, shadow = Probabilities.of(live_scores, labels, lives), Probabilities.of(shadow_scores, labels, shadows)
    single = np.isnan(of.loss)  # one side has none
    losses = (np.where(single, np.nan, loss) for loss in (of.live_loss, of.shadow_loss))
    moments = np.stack((of.loss, of.value, *losses, of.live_value, *_differences(live, shadow)))
    moments = moments.clip(-LARGEST, LARGEST)
    weights, signs = _weights(columns), of.sign if of.sign.min() < 0 else None
    return OutcomeArrays(
        counts=_outcome_counts(of, signs),
        times=np.array(columns.times, np.int64),
        weights=weights,
        signs=signs,
        moments=moments,
        values=Values.of(moments, weights),
        label=_codes(of.label),
        live_answer=_codes(of.live_answer),
        shadow_answer=_codes(of.shadow_answer),
        live=live,
        shadow=shadow,
    )


def _by_column(columns: Columns, width: int) -> Floats:
    """The rows as an array of shape (width, rows). Twice as quick as `np.array`, which looks at each row's type."""
    cells = np.fromiter(chain.from_iterable(columns.rows), np.float64, len(columns.rows) * width)
    return cells.reshape(-1, width).T


def _outcome_counts(of: OutcomeRow[Floats], signs: Floats | None) -> NDArray[np.int64]:
    counts = np.zeros((of.right.size, len(COUNTERS)), np.int64)
    trained_on = of.early == 1
    counts[:, INDEX["labels"]] = ~trained_on
    counts[:, INDEX["labels_trained_on"]] = trained_on
    for code, name in enumerate(("both_right", "shadow_only", "live_only", "both_wrong"), start=1):
        counts[:, INDEX[name]] = (of.right == code) & ~trained_on
    for when, which in (("before", of.early > 0), ("early", of.early == 2)):
        counts[:, INDEX[f"{when}_judged"]] = (of.right > 0) & which
        counts[:, INDEX[f"{when}_right"]] = ((of.right == 1) | (of.right == 2)) & which
        counts[:, INDEX[f"{when}_live_right"]] = ((of.right == 1) | (of.right == 3)) & which
    counts[:, INDEX["labelled_agreed"]] = of.agree == 1
    counts[:, INDEX["labelled_disagreed"]] = of.agree == 2
    if signs is not None:
        counts *= signs.astype(np.int64)[:, None]
    return counts


def _codes(column: Floats) -> NDArray[np.int64]:
    return np.where(np.isnan(column), -1, column).astype(np.int64)


def _differences(live: Probabilities, shadow: Probabilities) -> tuple[Floats, Floats, Floats, Floats]:
    """Log loss and Brier score of the live side, and by how much the shadow's are larger; NaN unless both are there."""
    theirs, ours = (-log(side.label.clip(LEAST, 1.0)) for side in (live, shadow))
    both = np.isnan(theirs) | np.isnan(ours)
    theirs, squared = np.where(both, np.nan, theirs), np.where(both, np.nan, live.squared)
    return theirs, ours - theirs, squared, shadow.squared - squared


def _budgets(columns: Columns) -> Floats | float:
    """The latency budget of each row, by the gate of its trial; one number where it is the same for all."""
    groups = columns.groups.values()
    of_groups = [np.inf if group.vocabulary.budget_ms is None else group.vocabulary.budget_ms for group in groups]
    if len(set(of_groups)) == 1:
        return of_groups[0]
    budgets = np.empty(len(columns.rows))
    for group, budget in zip(groups, of_groups, strict=True):
        budgets[group.rows] = budget
    return budgets


def _weights(columns: Columns) -> Floats | None:
    weights = np.array(columns.weights, np.float64)
    return np.rint(weights * FINEST) / FINEST if weights.max() > 1.0 else None
