"""An estimator that does to its process whatever its rows say: the first feature is the deed."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FINE, RAISE, HANG, EXIT, SEGFAULT, MEMORY, PRINT, NAN, SHAPE, QUIT = range(10)


def _raise() -> None:
    raise RuntimeError("this row is not liked")


def _print_a_gigabyte() -> None:
    for _ in range(1024):
        sys.stdout.write("x" * 2**20)


DEEDS: dict[int, Callable[[], object]] = {
    RAISE: _raise,
    HANG: lambda: time.sleep(3600),
    EXIT: lambda: os._exit(3),
    SEGFAULT: lambda: ctypes.string_at(0),
    MEMORY: lambda: np.ones(2**32),
    PRINT: _print_a_gigabyte,
    QUIT: lambda: sys.exit("enough"),
}


class Misbehaving:
    """Predicts 1.0 for a row whose first feature is 0."""

    n_features_in_ = 1

    def predict(self, rows: NDArray[np.float64]) -> Any:
        deeds = rows[:, 0].astype(int)
        for deed in deeds.tolist():
            DEEDS.get(deed, lambda: None)()
        answers = np.where(deeds == NAN, np.nan, 1.0)
        return answers[:-1] if SHAPE in deeds else answers
