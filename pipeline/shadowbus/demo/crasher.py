"""A shadow that answers well and, on a few rows, never answers at all.

In: rows of numbers. Out: the wrapped estimator's answers, unless a row of the batch is one of those on which this model
hangs for ever or ends its process. Which rows those are depends on their features alone, so that a request has the same
fate however often and in whatever company it is asked. Never ask it outside a process that may die.
"""

import os
import threading
from typing import Any, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Fate = Literal["hang", "exit"]

HANGS_PER_THOUSAND = 5
EXITS_PER_THOUSAND = 5
EXIT_CODE = 42


def fate(row: NDArray[Any]) -> Fate | None:
    """What asking for this row leads to; None, an answer, for 990 of 1,000 rows.

    Args:
        row: One row of numbers, shape (features,).
    """
    drawn = crc32(np.ascontiguousarray(row, dtype=np.float64).tobytes()) % 1000
    if drawn < HANGS_PER_THOUSAND:
        return "hang"
    return "exit" if drawn < HANGS_PER_THOUSAND + EXITS_PER_THOUSAND else None


class Crasher:
    """An estimator that hangs or dies on some rows and otherwise answers as the one it wraps.

    Args:
        estimator: A fitted classifier with probabilities.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes_ = estimator.classes_
        self.n_features_in_ = estimator.n_features_in_

    def predict(self, table: NDArray[Any]) -> NDArray[Any]:
        """Answer n rows of shape (n, features), or hang, or end the process."""
        self._meet_fates(table)
        answers: NDArray[Any] = self.estimator.predict(table)
        return answers

    def predict_proba(self, table: NDArray[Any]) -> NDArray[Any]:
        """Probabilities of shape (n, classes) for n rows, or hang, or end the process."""
        self._meet_fates(table)
        answers: NDArray[Any] = self.estimator.predict_proba(table)
        return answers

    def _meet_fates(self, table: NDArray[Any]) -> None:
        fates = set(map(fate, np.asarray(table, dtype=np.float64)))
        if "exit" in fates:
            os._exit(EXIT_CODE)
        if "hang" in fates:
            threading.Event().wait()
