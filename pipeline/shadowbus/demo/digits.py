"""The demonstration's rows: scikit-learn's handwritten digits, split once into rows to train on and rows to serve.

In: nothing. Out: 600 rows for training and 1,197 that no model has seen, each with 64 features p00 to p63 and the digit
that was written. Guaranteed: the same split in every process.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FEATURES = tuple(f"p{pixel:02d}" for pixel in range(64))
TRAINING_ROWS = 600
_SPLIT_SEED = 7


@dataclass(frozen=True, slots=True)
class Rows:
    """Requests as the service gets them.

    Attributes:
        features: One object of 64 values by name for each request.
        labels: The digits that were written.
    """

    features: list[dict[str, float]]
    labels: list[int]


def held_out() -> Rows:
    """The rows to serve: none of them was trained on."""
    _, table, _, digits = split()
    return Rows([dict(zip(FEATURES, row, strict=True)) for row in table.tolist()], digits.tolist())


@cache
def split() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Training table (600, 64), held-out table (1197, 64), and the digits of both."""
    table, digits = load_digits(return_X_y=True)
    parts: list[Any] = train_test_split(
        table, digits, train_size=TRAINING_ROWS, random_state=_SPLIT_SEED, stratify=digits
    )
    return parts[0], parts[1], parts[2], parts[3]
