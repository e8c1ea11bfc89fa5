"""Some rows of a slice added up: what they contribute to the totals of their trial, segment or window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.corrected import Corrected
from shadowbus.aggregate.days import Days
from shadowbus.aggregate.details import Details
from shadowbus.aggregate.known import Known
from shadowbus.aggregate.numbers import COMPARED, JUDGED, Compared, Judged, Numbers
from shadowbus.aggregate.probabilities import Floats
from shadowbus.aggregate.quantiles import ANY, Quantiles
from shadowbus.aggregate.scores import Scores
from shadowbus.aggregate.table import Table
from shadowbus.aggregate.totals import INDEX, Totals
from shadowbus.aggregate.weights import Weights

Rows = NDArray[np.int64]


def compared_part(arrays: Compared, rows: Rows, known: Known, lacking: Sequence[tuple[object, ...]]) -> Totals:
    """The totals of some comparisons of one trial.

    Args:
        arrays: All of the slice.
        rows: Which ones.
        known: What is known of the trial.
        lacking: The lists of missing features that came up in the slice.
    """
    weights = _taken(arrays.weights, rows)
    moments = _moments(arrays, rows, COMPARED)
    details = Details(
        latency_gaps=Quantiles.of(*_present(arrays.moments[1][rows], weights), ANY),
        lacking=_lacking(arrays.lacking[rows], weights, known, lacking),
    )
    theirs, ours = arrays.live_answer[rows], arrays.shadow_answer[rows]
    if known.kind == "classes":
        details.confusion = _table((theirs, ours), known, None, weights)
    elif known.kind == "numbers":
        both = np.isnan(theirs) | np.isnan(ours)
        details.live_answers = Quantiles.of(*_present(np.where(both, np.nan, theirs), weights), ANY)
        details.shadow_answers = Quantiles.of(*_present(np.where(both, np.nan, ours), weights), ANY)
    totals = _totals(arrays, rows, details)
    totals.live_latency = Quantiles.of(*_present(arrays.live_latency[rows], weights))
    totals.shadow_latency = Quantiles.of(*_present(arrays.shadow_latency[rows], weights))
    totals.distance, totals.latency_difference = moments["distance"], moments["latency_difference"]
    return totals


def traffic(arrays: Compared, rows: Rows) -> Days:
    """On which days the shadow answered, without the requests that its model was trained on."""
    return Days.of(arrays.times[rows[arrays.evident[rows]]])


def judged_part(arrays: Judged, rows: Rows, known: Known) -> Totals:
    """The totals of some outcomes of one trial; arguments as of `compared_part`."""
    weights, signs = _taken(arrays.weights, rows), _taken(arrays.signs, rows)
    moments = _moments(arrays, rows, JUDGED)
    loss, value = moments.pop("loss"), moments.pop("value")
    details = Details(**moments)
    if known.kind == "classes":
        label, live, shadow = arrays.label[rows], arrays.live_answer[rows], arrays.shadow_answer[rows]
        details.live_truth = _table((label, live), known, signs, weights)
        details.shadow_truth = _table((label, shadow), known, signs, weights)
        flipped = np.nan_to_num(arrays.moments[JUDGED.index("value")][rows]) != 0
        if flipped.any():
            axes = (label[flipped], live[flipped], shadow[flipped])
            details.flips = _table(axes, known, _taken(signs, flipped), _taken(weights, flipped))
        paired = ~np.isnan(arrays.moments[JUDGED.index("log_loss")][rows])
        if paired.any():
            scored, sign, weight = rows[paired], _taken(signs, paired), _taken(weights, paired)
            details.live_scores = Scores.of(arrays.live, scored, sign, weight)
            details.shadow_scores = Scores.of(arrays.shadow, scored, sign, weight)
    totals = _totals(arrays, rows, details)
    totals.loss, totals.value = loss, value
    return totals


def _totals(arrays: Numbers, rows: Rows, details: Details) -> Totals:
    counts, times = arrays.counts[rows], arrays.times[rows]
    found = Totals(counts.sum(axis=0), first_ms=int(times.min()), last_ms=int(times.max()), details=details)
    if arrays.weights is not None:
        alike = counts[:, INDEX["labelled_agreed"]] + counts[:, INDEX["labels_trained_on"]]
        apart = alike == 0 if isinstance(arrays, Judged) else None
        found.weights = Weights.of(counts, arrays.weights[rows], apart)
    return found


def _moments(arrays: Numbers, rows: Rows, names: Sequence[str]) -> dict[str, Any]:
    if arrays.signs is None:
        return {name: Corrected(one) for name, one in zip(names, arrays.values.moments(rows), strict=True)}
    given, taken = (arrays.values.moments(rows[arrays.signs[rows] == sign]) for sign in (1, -1))
    return {name: Corrected(plus, minus) for name, plus, minus in zip(names, given, taken, strict=True)}


def _table(
    axes: Sequence[NDArray[np.float64] | Rows], known: Known, signs: Floats | None, weights: Floats | None
) -> Table:
    """Of the rows in which every axis has a class."""
    classed = np.logical_and.reduce([axis >= 0 for axis in axes])  # no class is -1, or NaN
    codes = [axis[classed].astype(np.int64) for axis in axes]
    return Table.of(codes, known.classes.names.names, _taken(signs, classed), _taken(weights, classed))


def _lacking(patterns: Rows, weights: Floats | None, known: Known, lists: Sequence[tuple[object, ...]]) -> Table:
    """Missing features by name; most requests lack none, and the others mostly the same ones."""
    found = Table()
    for pattern in np.unique(patterns[patterns > 0]).tolist():
        these = patterns == pattern
        count, excess = int(these.sum()), 0.0 if weights is None else float((weights[these] - 1.0).sum())
        codes = dict.fromkeys(known.features.code(str(name)) for name in lists[pattern - 1])
        for code in codes:
            cell = (known.features.names[code],)
            found.absorb(Table({cell: count}, {cell: excess} if excess else {}))
    return found


def _taken(column: Floats | None, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Floats | None:
    return None if column is None else column[rows]


def _present(values: Floats, weights: Floats | None) -> tuple[Floats, Floats | None]:
    """The values that are there, and their weights."""
    there = ~np.isnan(values)
    return values[there], _taken(weights, there)
