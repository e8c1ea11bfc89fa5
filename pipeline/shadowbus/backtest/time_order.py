"""The files of a backtest, read in the order of time, as the inputs of a worker are."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from itertools import islice

from shadowbus.backtest.log import Account, Log
from shadowbus.stage import Input, RecordBatch

HALVES = ("requests", "predictions")


class TimeOrderedReader:
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
        self.held = [UntimedRecords(log, account) for log in logs if log.timeless]

    def next(self, paused: AbstractSet[Input]) -> list[RecordBatch]:
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

    def rest(self) -> list[RecordBatch]:
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
        """Close the files."""
        for log in self.logs:
            log.close()

    def _unread(self) -> list[Log]:
        return [log for log in self.logs if not log.at_end]

    def _left(self, topic: str) -> list[RecordBatch]:
        """What has no time and no request either."""
        left = (piece for held in self.held if held.topic == topic for piece in held.rest(self.now_ms))
        return list(islice(left, 1))

    def _take(self, log: Log) -> list[RecordBatch]:
        return log.take(self.rows, self.account, self.patience_ms)


def _reached(log: Log) -> int:
    return min(log.newest_ms[topic] for topic in log.topics if topic in HALVES)


ROWS = 10_000
_NO_TIME = b'{"timestamp_ms":0,'
"""How a record that was made of a row without a time begins."""


class UntimedRecords:
    """All records of one topic, in memory.

    Their offsets are running numbers, in the order in which they go on; `lines` has the line of each.

    Args:
        log: The file; it is read to its end.
        account: Told of rows that cannot be used.
    """

    def __init__(self, log: Log, account: Account) -> None:
        (self.topic,) = log.topics
        self.waiting: dict[bytes, list[tuple[bytes, int]]] = {}
        self.lines: list[int] = []
        with closing(log):
            while slices := log.take(ROWS, account, 0):
                for piece in slices:
                    for key, value, line in zip(piece.keys, piece.values, piece.offsets, strict=True):
                        self.waiting.setdefault(key or b"", []).append((value or b"", line))

    def of(self, requests: RecordBatch) -> RecordBatch:
        """Those of requests that have come, at the requests' times."""
        found = RecordBatch(self.topic, 0)
        for key, at_ms in zip(requests.keys, requests.timestamps, strict=True):
            if key in self.waiting:
                self._let_go(found, key, at_ms)
        return found

    def rest(self, now_ms: int) -> Iterator[RecordBatch]:
        """Those whose request never came."""
        while self.waiting:
            found = RecordBatch(self.topic, 0)
            while self.waiting and len(found.keys) < ROWS:
                self._let_go(found, next(iter(self.waiting)), now_ms)
            yield found

    def _let_go(self, found: RecordBatch, key: bytes, at_ms: int) -> None:
        for value, line in self.waiting.pop(key):
            found.keys.append(key)
            found.values.append(b'{"timestamp_ms":%d,' % at_ms + value[len(_NO_TIME) :])
            found.timestamps.append(at_ms)
            found.offsets.append(len(self.lines))
            self.lines.append(line)
