"""How good both models are where labels came, from tables and histograms that add up. Pure.

Each function is of one side; classes and counts are weighted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.statistics.calibration_histogram import PARTS, CalibrationHistogram
from shadowbus.statistics.contingency_table import OTHER

Weighted = Mapping[tuple[str, ...], float]


def f1_of(truth: Weighted, event: str | None) -> float | None:
    """F1: twice the right ones over all that were said and all that were so.

    Van Rijsbergen (1979), *Information Retrieval*.

    Args:
        truth: Label by answer.
        event: The class it is of. None: the mean over all classes that were a label or an answer, but `(other)`.

    Returns:
        From 0 to 1; None where nothing of it was seen.

    >>> f1_of({("1", "1"): 8, ("0", "1"): 2, ("1", "0"): 2, ("0", "0"): 88}, "1")
    0.8
    """
    names = {name for cell in truth for name in cell} - {OTHER} if event is None else {event}
    rights = {name: truth.get((name, name), 0.0) for name in names}
    seen = dict.fromkeys(names, 0.0)
    for cell, weight in truth.items():
        for name in cell:
            if name in seen:
                seen[name] += weight
    scores = [2 * rights[name] / seen[name] for name in sorted(names) if seen[name] > 0]
    return sum(scores) / len(scores) if scores else None


def event_of(*tables: Weighted) -> str | None:
    """The event: of two classes the one whose name comes last. None when there are not two.

    >>> event_of({("no", "yes"): 1.0}), event_of({("a", "b"): 1.0, ("c", "c"): 1.0})
    ('yes', None)
    """
    names = {name for table in tables for cell in table for name in cell}
    return max(names) if len(names) == 2 and OTHER not in names else None


def auc_of(scores: CalibrationHistogram) -> tuple[float | None, float]:
    """The area under the ROC curve from its histogram, and by how much it may be off because of the bins.

    The chance that of two answers the one whose event came has the larger score, ties counted half: Mann & Whitney
    (1947), Hanley & McNeil (1982). Two answers in one bin are counted as a tie.
    """
    if scores.curve is None:
        return None, 0.0
    without, with_event = scores.curve
    pairs = float(without.sum() * with_event.sum())
    if pairs <= 0:
        return None, 0.0
    ties = float((without * with_event).sum()) / pairs / 2
    below = np.concatenate(([0.0], np.cumsum(without)[:-1]))
    return float((below * with_event).sum()) / pairs + ties, ties


def calibration_of(scores: CalibrationHistogram) -> dict[str, Any] | None:
    """The expected calibration error and the bins of the reliability diagram that hold something; None without scores.

    Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    parts = scores.parts
    if parts is None or parts[:, 1].sum() <= 0:
        return None
    weight = parts[:, 1].sum()
    error = float(np.abs(parts[:, 3] - parts[:, 2]).sum() / weight)
    return {"error": error, "bins": [_bin(at, row) for at, row in enumerate(parts) if row[1] > 0]}


def _bin(at: int, row: NDArray[np.float64]) -> dict[str, Any]:
    count, weight, total, came = row.tolist()
    edges = {"low": at / PARTS, "high": (at + 1) / PARTS}
    return {**edges, "n": int(count), "score": total / weight, "rate": came / weight}
