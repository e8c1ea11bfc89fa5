"""The files of a backtest, read in the order of time, as the inputs of a worker are."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

from shadowbus.backtest.held import Held
from shadowbus.backtest.log import Account, Log
from shadowbus.stage import Input, Slice

HALVES = ("requests", "predictions")


class Reading:
    """All files, and the clock that their records move.

    Args:
        logs: The files.
        rows: How many rows to read at once.
        account: Told of rows, good and bad.
        patience_ms: How long halves wait for each other: what is out of order by more is counted.
    """

    def __init__(self, logs: Sequence[Log], rows: int, account: Account, patience_ms: int) -> None:
        self.logs, self.rows, self.account, self.patience_ms = logs, rows, account, patience_ms
        self.now_ms = 0
        self.held = [Held(log, account) for log in logs if log.timeless]

    def next(self, paused: AbstractSet[Input]) -> list[Slice]:
        """The next records; nothing when all requests and predictions are read.

        Labels come once the clock has reached them, what has no time of its own with its request. Of requests and
        predictions those come that are behind in time.
        """
        if not (halves := [log for log in self._unread() if log.topics != ("labels",)]):
            return self._left("predictions")
        for log in self._unread():
            due = log.topics == ("labels",) and self.now_ms and log.newest_ms["labels"] <= self.now_ms
            if due and (pieces := self._take(log)):
                return pieces
        ready = [log for log in halves if not any((topic, 0) in paused for topic in log.topics)] or halves
        while ready:
            log = min(ready, key=_reached)
            if pieces := self._take(log):
                newest = [log.newest_ms[topic] for topic in HALVES if topic in log.topics]
                self.now_ms = max(self.now_ms, *newest)
                requests = [piece for piece in pieces if piece.topic == "requests"]
                beside = [held.of(piece) for piece in requests for held in self.held]
                return [*pieces, *(piece for piece in beside if piece.offsets)]
            ready.remove(log)
        return self._left("predictions")

    def rest(self) -> list[Slice]:
        """The next labels, whatever their time; nothing at their end."""
        for log in self._unread():
            if pieces := self._take(log):
                self.now_ms = max(self.now_ms, *log.newest_ms.values())
                return pieces
        return self._left("labels")

    def lags(self) -> dict[Input, int]:
        """1 for each input that is not read to its end."""
        return {(topic, 0): int(not log.at_end) for log in self.logs for topic in log.topics}

    def done(self) -> float:
        """How much is read, from 0 to 1."""
        return sum(1.0 if log.at_end else log.table.done() for log in self.logs) / len(self.logs)

    def close(self) -> None:
        """Let go of the files."""
        for log in self.logs:
            log.close()

    def _unread(self) -> list[Log]:
        return [log for log in self.logs if not log.at_end]

    def _left(self, topic: str) -> list[Slice]:
        """What has no time and no request either."""
        left = (piece for held in self.held if held.topic == topic for piece in held.rest(self.now_ms))
        return list(islice(left, 1))

    def _take(self, log: Log) -> list[Slice]:
        return log.take(self.rows, self.account, self.patience_ms)


def _reached(log: Log) -> int:
    return min(log.newest_ms[topic] for topic in log.topics if topic in HALVES)
