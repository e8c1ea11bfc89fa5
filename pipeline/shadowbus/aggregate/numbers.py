"""Columns as arrays: what can be added up without looking at a record again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.columns import NAN, Columns
from shadowbus.aggregate.totals import COUNTERS, INDEX
from shadowbus.records import SHADOW_FAILURES, STATUSES

LARGEST = 1e100
"""Distances and losses beyond this are counted at the edge: their squares would not be numbers any more."""

_FAILED = [STATUSES.index(name) for name in SHADOW_FAILURES]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The columns of a slice as arrays: one row of `counts` for each record, in the order of `COUNTERS`."""

    counts: NDArray[np.int64]
    times: NDArray[np.int64]
    weights: NDArray[np.float64]
    live_latency: NDArray[np.float64]
    shadow_latency: NDArray[np.float64]
    distance: NDArray[np.float64]
    loss: NDArray[np.float64]


def numbers(topic: str, columns: Columns, budget_ms: float | None) -> Numbers:
    """The arrays of what was read from `comparisons` or `outcomes`; `budget_ms` is the gate's, if it has one."""
    size = len(columns.rows)
    table = np.array(columns.rows, np.float64)
    counts = np.zeros((size, len(COUNTERS)), np.int64)
    times, weights = np.array(columns.times, np.int64), np.array(columns.weights, np.float64)
    nothing = np.full(size, NAN)
    if topic == "outcomes":
        right, loss, agree = table.T
        counts[:, INDEX["labels"]] = 1
        for code, name in enumerate(("both_right", "shadow_only", "live_only", "both_wrong"), start=1):
            counts[:, INDEX[name]] = right == code
        counts[:, INDEX["labelled_agreed"]] = agree == 1
        counts[:, INDEX["labelled_disagreed"]] = agree == 2
        return Numbers(counts, times, weights, nothing, nothing, nothing, loss.clip(-LARGEST, LARGEST))
    status, agree, live_latency, shadow_latency, distance, live_error, shadow_error, missing = table.T
    counts[np.arange(size), status.astype(np.int64)] = 1
    counts[:, INDEX["agreed"]] = agree == 1
    counts[:, INDEX["disagreed"]] = agree == 2
    counts[:, INDEX["latency_rows"]] = shadow_latency >= -np.inf
    counts[:, INDEX["over_budget"]] = shadow_latency > (np.inf if budget_ms is None else budget_ms)
    counts[:, INDEX["live_errors"]] = live_error
    counts[:, INDEX["shadow_errors"]] = (shadow_error == 1) | np.isin(status, _FAILED)
    counts[:, INDEX["missing_features"]] = missing
    distance = distance.clip(-LARGEST, LARGEST)
    return Numbers(counts, times, weights, live_latency, shadow_latency, distance, nothing)
