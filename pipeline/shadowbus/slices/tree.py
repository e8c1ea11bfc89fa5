"""Where a small decision tree sees rows that speak against the shadow.

In: a table, and for each row what speaks against the shadow. Out: nodes of the tree as the splits that lead to them,
and which rows they hold; the most striking first. Nothing here says whether they are more than chance.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from shadowbus.slices.columns import FeatureTable
from shadowbus.slices.rule import Split

STRIKING = 1.0
"""Standard errors by which a node has to stand out to be worth a test."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A node: the way to it, and for each row of the table whether it is there."""

    splits: tuple[Split, ...]
    holds: NDArray[np.bool_]


def striking_nodes(
    table: FeatureTable,
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    learns: NDArray[np.bool_],
    *,
    depth: int,
    fewest: int,
    most: int,
    floor: float | None,
) -> list[TreeNode]:
    """The nodes in which the values are highest, compared with a floor, or with the rows outside of them.

    Args:
        table: N rows.
        values: What speaks against the shadow, by row.
        weights: How much each row counts.
        learns: The rows that the tree may look at.
        depth: How many conditions a rule may have at most, before those of one column become one.
        fewest: How many rows a node has at least.
        most: How many nodes to return at most.
        floor: What a node's mean is compared with; None for the mean of the others.
    """
    tree = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=fewest, random_state=0)
    tree.fit(table.cells[learns], values[learns], sample_weight=weights[learns])
    held = tree.decision_path(table.cells.astype(np.float32)).tocsc()
    found = list[tuple[float, int, TreeNode]]()
    for number, splits in _ways(tree.tree_):
        holds = np.zeros(len(values), bool)
        holds[held.indices[held.indptr[number] : held.indptr[number + 1]]] = True
        score = _score(values, weights, holds & learns, ~holds & learns, floor)
        if splits and score >= STRIKING:
            found.append((-score, number, TreeNode(splits, holds)))
    return [node for _, _, node in sorted(found, key=lambda one: one[:2])[:most]]


def _score(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    inside: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    floor: float | None,
) -> float:
    """By how many standard errors the mean inside is above what it is compared with."""
    if not weights[inside].sum() > 0 or (floor is None and not weights[outside].sum() > 0):
        return 0.0
    mean, variance = _moments(values[inside], weights[inside])
    if floor is not None:
        return (mean - floor) / math.sqrt(max(1e-9, variance))
    other, its_variance = _moments(values[outside], weights[outside])
    return (mean - other) / math.sqrt(max(1e-9, variance + its_variance))


def _moments(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """A weighted mean, and the variance of that mean."""
    total = float(weights.sum())
    mean = float(weights @ values) / total
    return mean, float(weights**2 @ (values - mean) ** 2) / total**2


def _ways(tree: Any, number: int = 0, way: tuple[Split, ...] = ()) -> Iterator[tuple[int, tuple[Split, ...]]]:
    """Every node with the splits that lead to it."""
    yield number, way
    left, right = int(tree.children_left[number]), int(tree.children_right[number])
    if left == right:
        return
    column, at, to_left = (
        int(tree.feature[number]),
        float(tree.threshold[number]),
        bool(tree.missing_go_to_left[number]),
    )
    yield from _ways(tree, left, (*way, Split(column, at, right=False, with_missing=to_left)))
    yield from _ways(tree, right, (*way, Split(column, at, right=True, with_missing=not to_left)))
