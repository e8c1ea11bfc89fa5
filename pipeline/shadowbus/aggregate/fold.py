"""A slice of comparisons or outcomes folded into totals: by trial, by segment, by window and in all."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shadowbus.aggregate.columns import read
from shadowbus.aggregate.moments import Moments
from shadowbus.aggregate.numbers import Numbers, numbers
from shadowbus.aggregate.quantiles import Quantiles
from shadowbus.aggregate.segments import ALL, Segments
from shadowbus.aggregate.totals import Totals
from shadowbus.aggregate.weights import Weights
from shadowbus.stage import Slice


class Key(NamedTuple):
    """Of what totals are: `segment` is `all` or `name=value`, `window` is `all` or its start in milliseconds."""

    trial: str
    segment: str = ALL
    window: str = ALL

    def text(self) -> str:
        """The key of an aggregate."""
        return "|".join(self)


@dataclass(slots=True)
class Folded:
    """What a slice adds to the totals, and the records that could not be used: their index and why."""

    totals: dict[Key, Totals] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)


def fold(piece: Slice, segments: dict[str, Segments], window_ms: int, budget_ms: float | None) -> Folded:
    """Fold one slice.

    Args:
        piece: Records of `comparisons` or `outcomes`.
        segments: The segments kept so far, by trial; new ones are added.
        window_ms: The length of a window; windows begin at its multiples, by the records' `timestamp_ms`.
        budget_ms: Shadow latencies above it are over budget; None when the gate has none.
    """
    columns = read(piece, segments, window_ms)
    folded = Folded(rejected=columns.rejected)
    if not columns.rows:
        return folded
    arrays = numbers(piece.topic, columns, budget_ms)
    for (trial, start), group in columns.groups.items():
        kept = segments.get(trial)
        for segment, rows in ((ALL, group.rows), *group.segments.items()):
            part = _part(arrays, np.array(rows))
            whole = Key(trial, segment)
            folded.totals[whole] = folded.totals[whole] + part if whole in folded.totals else part
            if segment == ALL or (kept is not None and segment in kept.windowed):
                folded.totals[Key(trial, segment, str(start))] = part
    return folded


def _part(arrays: Numbers, rows: NDArray[np.int64]) -> Totals:
    counts, times, weights = arrays.counts[rows], arrays.times[rows], arrays.weights[rows]
    return Totals(
        counts.sum(axis=0),
        Quantiles.of(*_present(arrays.live_latency[rows], weights)),
        Quantiles.of(*_present(arrays.shadow_latency[rows], weights)),
        Moments.of(*_present(arrays.distance[rows], weights)),
        Moments.of(*_present(arrays.loss[rows], weights)),
        int(times.min()),
        int(times.max()),
        Weights.of(counts, weights),
    )


def _present(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The values that are there, and their weights; None where all are 1."""
    there = ~np.isnan(values)
    return values[there], weights[there] if weights.max() > 1.0 else None
