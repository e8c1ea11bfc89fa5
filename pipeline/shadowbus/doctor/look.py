"""Kafka at one moment; and what two such looks together show: who moves, and who stands still."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowbus.doctor.evidence import HeldUp
from shadowbus.kafka.groups import GroupState
from shadowbus.kafka.read.offsets import Bounds, Partition

MARKERS = 2
"""By how many records of each partition a group that has read everything may seem to be behind: offsets count the
markers of transactions too."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where every partition ends, and where every group stands.

    Attributes:
        at: When, in seconds on the monotonic clock.
        limits: The bounds of each partition, by full topic name.
        groups: By name.
        ends: For each topic that a group reads, the sum of its partitions' ends.
    """

    at: float
    limits: Mapping[Partition, Bounds]
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def taken(self, group: str) -> int:
        """How many records the group has committed, of all there ever were."""
        lag = self.groups[group].lag
        return sum(self.ends[topic] for topic in lag) - sum(lag.values())

    def leftover(self, group: str) -> int:
        """By how many records the group may seem to be behind when it has read everything."""
        return MARKERS * sum(1 for topic, _ in self.limits if topic in self.groups[group].lag)

    def records(self, topic: str) -> int:
        """How many records a topic holds, about: the markers of transactions are counted too."""
        return sum(limit.end - limit.first for (name, _), limit in self.limits.items() if name == topic)

    def held_up(self) -> dict[Partition, int]:
        """Where committed readers stand, in front of an open transaction."""
        return {one: limit.committed_end for one, limit in self.limits.items() if limit.committed_end < limit.end}


def stands_still(first: Look, second: Look) -> bool:
    """Whether a group that has members and work has not moved."""
    return any(
        group.members and sum(group.lag.values()) > second.leftover(name) and second.taken(name) == first.taken(name)
        for name, group in second.groups.items()
        if name in first.groups
    )


def held_up(first: Look, second: Look) -> tuple[HeldUp, ...]:
    """The partitions whose open transaction was the same both times."""
    before, seconds = first.held_up(), second.at - first.at
    return tuple(
        HeldUp(*one, offset, second.limits[one].end - offset, seconds)
        for one, offset in second.held_up().items()
        if before.get(one) == offset
    )
