"""What some rows of a batch contribute to the totals of their trial, segment or window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.arrays import (
    COMPARISON_MOMENTS,
    OUTCOME_MOMENTS,
    ColumnArrays,
    ComparisonArrays,
    OutcomeArrays,
)
from shadowbus.aggregate.probabilities import Floats, Probabilities
from shadowbus.aggregate.vocabulary import Vocabulary
from shadowbus.statistics.calibration_histogram import CalibrationHistogram
from shadowbus.statistics.contingency_table import ContingencyTable
from shadowbus.statistics.moments import CorrectedMoments
from shadowbus.statistics.quantiles import ANY, Quantiles
from shadowbus.totals.days import Days
from shadowbus.totals.detailed import DetailedTotals
from shadowbus.totals.totals import INDEX, Totals
from shadowbus.totals.weights import Weights

Rows = NDArray[np.int64]


def comparison_contribution(
    arrays: ComparisonArrays, rows: Rows, vocabulary: Vocabulary, lacking: Sequence[tuple[object, ...]]
) -> Totals:
    """The totals of some comparisons of one trial.

    Args:
        arrays: All rows of the batch.
        rows: Which ones.
        vocabulary: The vocabulary of the trial.
        lacking: The lists of missing features that came up in the batch.
    """
    weights = _taken(arrays.weights, rows)
    moments = _moments(arrays, rows, COMPARISON_MOMENTS)
    details = DetailedTotals(
        latency_gaps=Quantiles.of(*_present(arrays.moments[1][rows], weights), ANY),
        lacking=_lacking(arrays.lacking[rows], weights, vocabulary, lacking),
    )
    theirs, ours = arrays.live_answer[rows], arrays.shadow_answer[rows]
    if vocabulary.kind == "classes":
        details.confusion = _table((theirs, ours), vocabulary, None, weights)
    elif vocabulary.kind == "numbers":
        both = np.isnan(theirs) | np.isnan(ours)
        details.live_answers = Quantiles.of(*_present(np.where(both, np.nan, theirs), weights), ANY)
        details.shadow_answers = Quantiles.of(*_present(np.where(both, np.nan, ours), weights), ANY)
    totals = _totals(arrays, rows, details)
    totals.live_latency = Quantiles.of(*_present(arrays.live_latency[rows], weights))
    totals.shadow_latency = Quantiles.of(*_present(arrays.shadow_latency[rows], weights))
    totals.distance, totals.latency_difference = moments["distance"], moments["latency_difference"]
    return totals


def traffic(arrays: ComparisonArrays, rows: Rows) -> Days:
    """On which days the shadow answered, without the requests that its model was trained on."""
    return Days.of(arrays.times[rows[arrays.evident[rows]]])


def outcome_contribution(arrays: OutcomeArrays, rows: Rows, vocabulary: Vocabulary) -> Totals:
    """The totals of some outcomes of one trial; arguments as of `compared_part`."""
    weights, signs = _taken(arrays.weights, rows), _taken(arrays.signs, rows)
    moments = _moments(arrays, rows, OUTCOME_MOMENTS)
    loss, value = moments.pop("loss"), moments.pop("value")
    details = DetailedTotals(**moments)
    if vocabulary.kind == "classes":
        label, live, shadow = arrays.label[rows], arrays.live_answer[rows], arrays.shadow_answer[rows]
        details.live_truth = _table((label, live), vocabulary, signs, weights)
        details.shadow_truth = _table((label, shadow), vocabulary, signs, weights)
        flipped = np.nan_to_num(arrays.moments[OUTCOME_MOMENTS.index("value")][rows]) != 0
        if flipped.any():
            axes = (label[flipped], live[flipped], shadow[flipped])
            details.flips = _table(axes, vocabulary, _taken(signs, flipped), _taken(weights, flipped))
        paired = ~np.isnan(arrays.moments[OUTCOME_MOMENTS.index("log_loss")][rows])
        if paired.any():
            scored, sign, weight = rows[paired], _taken(signs, paired), _taken(weights, paired)
            details.live_scores = _histogram(arrays.live, scored, sign, weight)
            details.shadow_scores = _histogram(arrays.shadow, scored, sign, weight)
    totals = _totals(arrays, rows, details)
    totals.loss, totals.value = loss, value
    return totals


def _histogram(side: Probabilities, rows: Rows, signs: Floats | None, weights: Floats | None) -> CalibrationHistogram:
    return CalibrationHistogram.of(side.score[rows], side.event[rows], side.came[rows], signs, weights)


def _totals(arrays: ColumnArrays, rows: Rows, details: DetailedTotals) -> Totals:
    counts, times = arrays.counts[rows], arrays.times[rows]
    found = Totals(counts.sum(axis=0), first_ms=int(times.min()), last_ms=int(times.max()), details=details)
    if arrays.weights is not None:
        alike = counts[:, INDEX["labelled_agreed"]] + counts[:, INDEX["labels_trained_on"]]
        apart = alike == 0 if isinstance(arrays, OutcomeArrays) else None
        found.weights = Weights.of(counts, arrays.weights[rows], apart)
    return found


def _moments(arrays: ColumnArrays, rows: Rows, names: Sequence[str]) -> dict[str, Any]:
    if arrays.signs is None:
        return {name: CorrectedMoments(one) for name, one in zip(names, arrays.values.moments(rows), strict=True)}
    given, taken = (arrays.values.moments(rows[arrays.signs[rows] == sign]) for sign in (1, -1))
    return {name: CorrectedMoments(plus, minus) for name, plus, minus in zip(names, given, taken, strict=True)}


def _table(
    axes: Sequence[NDArray[np.float64] | Rows], vocabulary: Vocabulary, signs: Floats | None, weights: Floats | None
) -> ContingencyTable:
    """Counts the rows in which every axis has a class."""
    classed = np.logical_and.reduce([axis >= 0 for axis in axes])  # no class is -1, or NaN
    codes = [axis[classed].astype(np.int64) for axis in axes]
    return ContingencyTable.of(codes, vocabulary.classes.names.names, _taken(signs, classed), _taken(weights, classed))


def _lacking(
    patterns: Rows, weights: Floats | None, vocabulary: Vocabulary, lists: Sequence[tuple[object, ...]]
) -> ContingencyTable:
    """Missing features by name; most requests lack none, and the others mostly the same ones."""
    found = ContingencyTable()
    for pattern in np.unique(patterns[patterns > 0]).tolist():
        these = patterns == pattern
        count, excess = int(these.sum()), 0.0 if weights is None else float((weights[these] - 1.0).sum())
        codes = dict.fromkeys(vocabulary.features.code(str(name)) for name in lists[pattern - 1])
        for code in codes:
            cell = (vocabulary.features.names[code],)
            found.absorb(ContingencyTable({cell: count}, {cell: excess} if excess else {}))
    return found


def _taken(column: Floats | None, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Floats | None:
    return None if column is None else column[rows]


def _present(values: Floats, weights: Floats | None) -> tuple[Floats, Floats | None]:
    """The values that are there, and their weights."""
    there = ~np.isnan(values)
    return values[there], _taken(weights, there)
