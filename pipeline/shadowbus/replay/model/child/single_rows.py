"""Which rows are asked alone, before any others are: the only honest latency of a model that is fed in batches.

In: the ids of a question's rows. Out: which of them to ask before the others, each alone and once, so that what a model
keeps of earlier answers makes nothing look faster. The first one is not timed: libraries load parts of themselves when
they are first used. The choice rests on the ids: shadows of the same traffic choose the same rows, and one that can
afford fewer chooses among those of the others.
"""

import math
from collections.abc import Sequence
from zlib import crc32

from shadowbus.clock import monotonic

BURST_SECONDS = 0.01
"""The most that single rows may hold up one chunk."""

BUSY = 0.2
"""What of the share is left while the model has something to do: a backlog takes as long as it takes."""

TREND = 0.1
"""How much the newest question says of how many rows there are, and of how many can be afforded."""

_HASHES = 1 << 32


class SingleRowSampler:
    """May spend a fixed share of the time in which the model waits, and a fifth of that of the time in which it works.

    So it asks many rows alone when traffic is low, and hardly slows a backlog down. A row that is asked for without
    others costs nothing more, and is always timed.

    Args:
        share: That share; 0 for none.
    """

    def __init__(self, share: float) -> None:
        self.share, self.credit, self.cost, self.at = share, BURST_SECONDS, 0.001, monotonic()
        self.waited = math.inf  # while it was loaded, it had nothing to do
        self.warm = False
        self._affordable = self._rows = 0.0

    def wait(self, seconds: float) -> None:
        """The model had nothing to do for so long."""
        self.waited += seconds

    def choose(self, keys: Sequence[bytes]) -> list[int]:
        """The rows of a question that are to be asked alone, by position among its n keys; the lowest hash first."""
        if self.share <= 0:
            return []
        if len(keys) < 2:  # it is alone anyway
            return list(range(len(keys)))
        self._earn(len(keys))
        affordable, below = int(self.credit / self.cost), _HASHES * self._affordable / self._rows
        if not affordable or min(hashes := list(map(crc32, keys))) >= below:
            return []
        chosen = [row for row, found in enumerate(hashes) if found < below]
        return sorted(chosen, key=hashes.__getitem__)[:affordable]

    def counts(self, seconds: float) -> float | None:
        """What a row took alone, in milliseconds; None of the first one, which warms the model up."""
        warm, self.warm = self.warm, True
        return seconds * 1000 if warm else None

    def pay(self, seconds: float) -> bool:
        """A row that would have been asked with others was asked alone; whether one more can be afforded."""
        self.credit -= seconds
        self.cost = 0.9 * self.cost + 0.1 * max(seconds, 1e-6)
        return self.credit > 0

    def _earn(self, rows: int) -> None:
        now = monotonic()
        most = max(BURST_SECONDS, self.cost)  # one row at least: a slow model is timed too, only less often
        worked = max(0.0, now - self.at - self.waited)
        earned = (self.waited + BUSY * worked) * self.share
        self.credit = min(self.credit + earned, most)
        self.at, self.waited = now, 0.0
        self._affordable += TREND * (min(earned, most) / self.cost - self._affordable)
        self._rows += TREND * (rows - self._rows)
