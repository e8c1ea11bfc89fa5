"""The judge of a backtest, and when it writes what waits to disk."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from shadowbus.compare import Comparators, make_comparator
from shadowbus.judge.stage import JudgeStage
from shadowbus.settings import Settings, ShadowSettings
from shadowbus.stage import Input, Outputs, Slice

ONE = frozenset({0})
"""The partition that there is."""

KEEP_EVERY = 20_000
"""After so many comparisons and labels what waits is written to disk."""


class Judging(Protocol):
    """Takes comparisons and labels; what comes of them may come later, in their order."""

    def take(self, piece: Slice, now_ms: int, lags: Mapping[Input, int]) -> Iterable[Outputs]:
        """Take records; returns what is done by now."""
        ...

    def rest(self) -> Iterable[Outputs]:
        """Wait for all that was taken."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class JudgeHere:
    """The judge in this process.

    Args:
        settings: With one partition.
        shadows: Those whose comparisons come.
        state: Where it may keep what waits.
    """

    def __init__(self, settings: Settings, shadows: Iterable[ShadowSettings], state: Path) -> None:
        comparators = Comparators({one.name: make_comparator(one.task, one.options) for one in shadows})
        self.stage = JudgeStage(ONE, settings=settings, comparators=comparators, folder=state, worker="judge")
        self.stage.resume_at({})
        self._since_kept = 0

    def take(self, piece: Slice, now_ms: int, lags: Mapping[Input, int]) -> Iterator[Outputs]:
        """All of it is done at once."""
        yield self.stage.process([piece], now_ms)
        self._since_kept += len(piece.offsets)
        if self._since_kept >= KEEP_EVERY:
            self._since_kept = 0
            # Comparisons are never known to be at their end: what the models still answer is one of them.
            yield self.stage.tick(now_ms, {("comparisons", 0): 1, ("labels", 0): lags.get(("labels", 0), 0)})
            self.stage.checkpoint(now_ms)
            self.stage.committed()

    def rest(self) -> Iterator[Outputs]:
        """Nothing is ever under way."""
        yield from ()

    def close(self) -> None:
        """Let go of the folder."""
        self.stage.close()
