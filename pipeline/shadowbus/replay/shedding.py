"""Which requests are replayed when a shadow cannot, or need not, take all of them.

In: joined rows, and how far behind they are. Out: the rows that stay, each with the weight that makes up for the
others. The choice depends on the id alone, so every shadow and every worker makes the same, and what a small share
keeps every larger share keeps too. Its hash is not that of partitioners or of capture, so the choice is independent of
theirs.
"""

from hashlib import blake2b
from itertools import compress

from shadowbus.replay.in_flight import JoinedRows
from shadowbus.settings import ReplaySettings

_SALT = b"shedding"
_RANGE = 1 << 64

STEP_MS = 5_000
"""The time between two cuts of the share, so that the first one can take effect."""

CATCHING_UP = 0.1
"""A lag that shrinks by this share of the time that passes is being worked off: no further cut is needed."""


def keeps(key: bytes, share: float, salt: bytes = _SALT) -> bool:
    """Whether an id is among this share of all ids; choices of different salt are independent of each other.

    >>> sum(keeps(b"%d" % number, 0.25) for number in range(10_000))
    2502
    >>> all(keeps(b"%d" % number, 0.5) for number in range(1_000) if keeps(b"%d" % number, 0.25))
    True
    """
    return share >= 1.0 or int.from_bytes(blake2b(key, digest_size=8, person=salt).digest(), "big") < share * _RANGE


class Shedding:
    """The share of ids that is replayed: fixed, or cut in halves while the worker falls behind.

    While the lag is over `shed_when_behind_seconds` and is not being worked off, the share is halved every `STEP_MS`,
    down to `min_share`. While it is under half of that, the share is doubled, up to `keep_share`, no sooner than
    `shed_when_behind_seconds` after the last step, so that it does not swing.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        self.share = settings.keep_share
        self._most, self._least = settings.keep_share, min(settings.min_share, settings.keep_share)
        self._behind_ms = settings.shed_when_behind_seconds * 1000
        self._stepped_ms: int | None = None
        self._lag_then = 0

    def observe(self, lag_ms: int, now_ms: int) -> None:
        """Note how far behind the input of this moment is, in milliseconds."""
        if not self._behind_ms:
            return
        if self._stepped_ms is None:
            self._stepped_ms = now_ms - STEP_MS
            self._lag_then = lag_ms
        passed = now_ms - self._stepped_ms
        if lag_ms > self._behind_ms:
            if passed >= STEP_MS:
                catching_up = self._lag_then - lag_ms >= CATCHING_UP * passed
                self._step(self.share if catching_up else max(self._least, self.share / 2), lag_ms, now_ms)
        elif lag_ms < self._behind_ms / 2 and passed >= max(STEP_MS, self._behind_ms):
            self._step(min(self._most, self.share * 2), lag_ms, now_ms)

    def choose(self, joined: JoinedRows) -> tuple[JoinedRows, JoinedRows]:
        """The rows that stay, weighted, and those that are left out."""
        if self.share >= 1.0 or not joined:
            return joined, JoinedRows()
        stay = [keeps(key, self.share) for key in joined.keys]
        rows = range(len(joined))
        kept, left_out = joined.only(list(compress(rows, stay))), joined.only([row for row in rows if not stay[row]])
        kept.weight = 1 / self.share
        return kept, left_out

    def _step(self, share: float, lag_ms: int, now_ms: int) -> None:
        self.share, self._lag_then, self._stepped_ms = share, lag_ms, now_ms
