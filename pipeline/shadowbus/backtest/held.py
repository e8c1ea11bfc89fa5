"""Records without a time of their own, as in a file of ids and labels: each waits for its request and has its time."""

from collections.abc import Iterator
from contextlib import closing

from shadowbus.backtest.log import Account, Log
from shadowbus.stage import Slice

ROWS = 10_000
_NO_TIME = b'{"timestamp_ms":0,'
"""How a record that was made of a row without a time begins."""


class Held:
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

    def of(self, requests: Slice) -> Slice:
        """Those of requests that have come, at the requests' times."""
        found = Slice(self.topic, 0)
        for key, at_ms in zip(requests.keys, requests.timestamps, strict=True):
            if key in self.waiting:
                self._let_go(found, key, at_ms)
        return found

    def rest(self, now_ms: int) -> Iterator[Slice]:
        """Those whose request never came."""
        while self.waiting:
            found = Slice(self.topic, 0)
            while self.waiting and len(found.keys) < ROWS:
                self._let_go(found, next(iter(self.waiting)), now_ms)
            yield found

    def _let_go(self, found: Slice, key: bytes, at_ms: int) -> None:
        for value, line in self.waiting.pop(key):
            found.keys.append(key)
            found.values.append(b'{"timestamp_ms":%d,' % at_ms + value[len(_NO_TIME) :])
            found.timestamps.append(at_ms)
            found.offsets.append(len(self.lines))
            self.lines.append(line)
