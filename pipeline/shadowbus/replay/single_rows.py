"""A random sample of rows, predicted one at a time: the only honest latency of a model that is fed in batches."""

import random
from collections.abc import Callable
from typing import Any

from shadowbus.clock import monotonic, perf_ns
from shadowbus.shadows.model import Model

BURST_SECONDS = 0.01
"""The most that single rows may hold up one chunk."""

BUSY = 0.2
"""What of the share is left while the model has something to do: a backlog takes as long as it takes."""


class SingleRows:
    """May spend a fixed share of the time in which the model waits, and a fifth of that of the time in which it works.

    So it measures many rows when traffic is low, and hardly slows a backlog down. `failed` counts rows that raised
    alone, though not with others.

    Args:
        share: That share.
    """

    def __init__(self, share: float) -> None:
        self.share, self.credit, self.cost, self.at = share, BURST_SECONDS, 0.001, monotonic()
        self.waited = 0.0
        self.failed = 0

    def wait(self, seconds: float) -> None:
        """The model had nothing to do for so long."""
        self.waited += seconds

    def measure(self, model: Model, count: int, features_of: Callable[[int], Any]) -> dict[int, float]:
        """Latencies in milliseconds of some of `count` rows, by row.

        Args:
            model: Predicts them.
            count: How many rows the model has just predicted together.
            features_of: A row's features.
        """
        now = monotonic()
        most = max(BURST_SECONDS, self.cost)  # one row at least: a slow model is measured too, only less often
        worked = max(0.0, now - self.at - self.waited)
        self.credit = min(self.credit + (self.waited + BUSY * worked) * self.share, most)
        self.at, self.waited = now, 0.0
        latencies: dict[int, float] = {}
        for row in random.sample(range(count), min(count, max(0, int(self.credit / self.cost)))):
            single = [features_of(row)]
            started = perf_ns()
            try:
                model.predict(single)
                latencies[row] = (perf_ns() - started) / 1e6
            except BaseException:  # it was predicted with the others: that counts, and this is counted
                self.failed += 1
            spent = (perf_ns() - started) / 1e9
            self.credit -= spent
            self.cost = 0.9 * self.cost + 0.1 * max(spent, 1e-6)
            if self.credit <= 0:
                break
        return latencies
