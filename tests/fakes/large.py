"""An estimator whose answers are as many megabytes as its rows ask for; below zero it raises a text of that size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Large:
    """Predicts 1.0, or what it was told, for a row whose feature is 0."""

    n_features_in_ = 1

    def __init__(self, usual: object = 1.0) -> None:
        self.usual = usual

    def predict(self, rows: NDArray[np.float64]) -> Any:
        sizes = rows[:, 0].tolist()
        if min(sizes) < 0:
            raise RuntimeError("x" * int(-min(sizes) * 1e6))
        return np.array(["x" * int(size * 1e6) if size else self.usual for size in sizes], dtype=object)
