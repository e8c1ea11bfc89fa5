"""Up to where everything is over, and counted: a mark that only grows, the same for every reader. Pure.

Entries are looked at one after the other, in the order of their ids, again and again. So a mark has two parts: up to
which hour the last full sweep went, and how far the one under way has come, and up to which hour that one goes.
"""

from typing import NamedTuple

from shadowbus.limits import LATEST_MS

_HOUR_MS = 3_600_000


def hour_of(timestamp_ms: int) -> int:
    """The hour of one of Kafka's times; 0 for a record that has none, and never beyond what four bytes can hold.

    >>> hour_of(7_200_001), hour_of(-1), hour_of(1 << 63)
    (2, 0, 1139560)
    """
    return min(max(0, timestamp_ms), LATEST_MS) // _HOUR_MS


class Swept(NamedTuple):
    """What is over: of every id what ends up to the hour `done`; of ids up to `to` also what ends up to `aim`.

    >>> Swept(7, 9, b"m").over(8, b"a"), Swept(7, 9, b"m").over(8, b"z"), Swept(7, 9, b"m").over(7, b"z")
    (True, False, True)
    """

    done: int = -1
    aim: int = -1
    to: bytes = b""

    def over(self, hour: int, key: bytes) -> bool:
        """Whether what ends in this hour, of this id, is over."""
        return hour <= self.done or (hour <= self.aim and key <= self.to)

    @property
    def under_way(self) -> bool:
        """Whether a sweep has begun and not ended."""
        return self.aim > self.done


START = Swept()
"""Nothing is over."""
