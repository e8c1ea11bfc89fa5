"""Slices for which the shadow is shown to be worse than for others, or worse than the live model.

In: rows of one trial. Out: the rules that a tree found on one half of the rows, each with what the other half says of
it. Guaranteed: if there is no such slice, any slice is shown worse with probability `alpha` at most. The half that
tests was not looked at before, and `alpha` is shared out among the rules tested on it (Bonferroni), so that all of
their intervals hold together. That is for one search; whoever searches every hour looks again and again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from shadowbus.slices.columns import table_of
from shadowbus.slices.row import Row, Target
from shadowbus.slices.rule import conditions_of
from shadowbus.slices.tree import TreeNode, striking_nodes
from shadowbus.slices.weighted_mean import Sample, mean_bounds
from shadowbus.verdict.interval import Interval

MOST_TESTED = 8
FEWEST = 20
SMALLEST_SHARE = 0.01
"""A slice has at least so large a share of the rows that find it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A rule, and what the rows that test it say.

    Attributes:
        rule: In words.
        conditions: The same as data.
        requests: How many of the testing rows it holds.
        difference: By how much the shadow is worse there: accuracy of the live model minus the shadow's, or the share
            of disagreement in the slice minus that outside of it.
        low: The smallest difference still possible.
        high: The largest.
        shown: Whether it is shown to be worse: `low` is above 0.
    """

    rule: str
    conditions: tuple[dict[str, object], ...]
    requests: int
    difference: float
    low: float
    high: float
    shown: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: how many rows found and tested, the mean of all, and the slices, the surest first."""

    by: Target
    alpha: float
    found_on: int
    tested_on: int
    overall: float
    slices: tuple[Slice, ...]

    def record(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


def search(rows: Sequence[Row], by: Target, *, alpha: float = 0.05, depth: int = 3) -> Search:
    """Look for slices for which the shadow is worse.

    Args:
        rows: Requests with what speaks against the shadow; independent of each other.
        by: What their values mean.
        alpha: The chance, at most, of showing any slice to be worse when none is.
        depth: How many splits a rule may have at most.
    """
    values = np.fromiter((row.value for row in rows), np.float64, len(rows))
    weights = np.fromiter((row.weight for row in rows), np.float64, len(rows))
    tests = np.fromiter((row.tests for row in rows), np.bool_, len(rows))
    learning = int((~tests).sum())
    fewest = max(FEWEST, int(SMALLEST_SHARE * learning))
    table = table_of([row.features for row in rows], fewest)
    everything = Sample(values, weights)
    nodes = list[TreeNode]()
    if table.columns and learning >= 2 * fewest and weights[~tests].sum() > 0:
        floor = 0.0 if by == "harm" else None
        nodes = striking_nodes(
            table, values, weights, ~tests, depth=depth, fewest=fewest, most=MOST_TESTED, floor=floor
        )
    found = list[Slice]()
    for node in nodes:
        difference, bounds = _difference(everything, node.holds, tests, by, alpha / len(nodes))
        conditions = conditions_of(node.splits, table)
        rule = " and ".join(condition.text() for condition in conditions)
        records = tuple(condition.record() for condition in conditions)
        found.append(
            Slice(rule, records, int((node.holds & tests).sum()), difference, bounds.low, bounds.high, bounds.low > 0)
        )
    found.sort(key=lambda one: (-one.low, -one.difference, one.rule))
    return Search(by, alpha, learning, int(tests.sum()), everything.mean(), tuple(found))


def _difference(
    everything: Sample, holds: NDArray[np.bool_], tests: NDArray[np.bool_], by: Target, alpha: float
) -> tuple[float, Interval]:
    """By how much it is worse in a slice, and the differences that are still possible.

    The half that found the slice says how much to bet on the half that tests it.
    """

    def of(rows: NDArray[np.bool_]) -> Sample:
        return Sample(everything.values[rows], everything.weights[rows])

    here, like_here = of(holds & tests), of(holds & ~tests)
    if by == "harm":
        return here.mean(), mean_bounds(here, like_here, -1, 1, alpha)
    there, like_there = of(~holds & tests), of(~holds & ~tests)
    inside = mean_bounds(here, like_here, 0, 1, alpha / 2)
    outside = mean_bounds(there, like_there, 0, 1, alpha / 2)
    return here.mean() - there.mean(), Interval(inside.low - outside.high, inside.high - outside.low)
