"""The positions of a worker in each of its inputs: read, produced, committed. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shadowbus.stage import Input, RecordBatch


@dataclass(slots=True)
class Positions:
    """Offsets by input; they only grow."""

    next: dict[Input, int] = field(default_factory=dict)  # the next record to read
    covered: dict[Input, int] = field(default_factory=dict)  # produced up to here
    committed: dict[Input, int] = field(default_factory=dict)
    ends: dict[Input, int] = field(default_factory=dict)  # the end of each input that was read to its end

    @classmethod
    def at(cls, starts: Mapping[Input, int], committed: Mapping[Input, int]) -> "Positions":
        """At the start of an assignment. Where records were lost, the next commit must be behind them."""
        return cls(dict(starts), dict(starts), dict(committed))

    def take(self, batches: Iterable[RecordBatch], ends: Mapping[Input, int]) -> list[RecordBatch]:
        """Note what was read.

        Args:
            batches: Records from the consumer. After a rebalance they may belong to partitions no longer held, or
                repeat earlier ones.
            ends: The end offset of each partition that was read to its end.

        Returns:
            The new records, in batches that are not empty.
        """
        fresh: list[RecordBatch] = []
        for batch in batches:
            if batch.input not in self.next:
                continue
            if seen := bisect_left(batch.offsets, self.next[batch.input]):
                for column in (batch.keys, batch.values, batch.timestamps, batch.offsets):
                    del column[:seen]
            if batch.offsets:
                self.next[batch.input] = batch.next_offset
                self.ends.pop(batch.input, None)
                fresh.append(batch)
        self.ends.update({key: end for key, end in ends.items() if end >= self.next.get(key, end + 1)})
        return fresh

    def cover(self, positions: Mapping[Input, int]) -> None:
        """Note that all records before these positions are accounted for.

        Raises:
            AssertionError: A position moves back: the stage is wrong, and committing would repeat its output.
        """
        for key, offset in positions.items():
            if offset < self.covered.get(key, 0):
                raise AssertionError(f"the position of {key} moved back from {self.covered[key]} to {offset}")
            self.covered[key] = offset

    def owing(self) -> bool:
        """Whether records were read that are not yet accounted for."""
        return self.covered != self.next

    def uncommitted(self) -> dict[Input, int]:
        """The positions for the next commit; at the end of an input, those behind its transaction markers."""
        target = dict(self.covered)
        for key, end in self.ends.items():
            if target.get(key) == self.next.get(key) and end > target.get(key, end):
                target[key] = end
        return {key: offset for key, offset in target.items() if offset > self.committed.get(key, -1)}
