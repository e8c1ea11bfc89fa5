"""Where a worker stands in each of its inputs. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shadowbus.stage import Input, RecordBatch


@dataclass(slots=True)
class Progress:
    """Where each input stands. Offsets only grow."""

    next: dict[Input, int] = field(default_factory=dict)  # the next record to take
    covered: dict[Input, int] = field(default_factory=dict)  # produced up to here
    committed: dict[Input, int] = field(default_factory=dict)
    ends: dict[Input, int] = field(default_factory=dict)  # inputs read to their end, and where that was

    @classmethod
    def at(cls, starts: Mapping[Input, int], committed: Mapping[Input, int]) -> "Progress":
        """At the beginning of an assignment. Where records were lost, the next commit has to stand behind them."""
        return cls(dict(starts), dict(starts), dict(committed))

    def take(self, slices: Iterable[RecordBatch], ends: Mapping[Input, int]) -> list[RecordBatch]:
        """Note what was read.

        Args:
            slices: What Kafka handed out. After a rebalance that may be partitions no longer held, and once more what
                was taken before it.
            ends: The partitions that were read to their end, with the offset of that end.

        Returns:
            What is new, as slices that are not empty.
        """
        fresh: list[RecordBatch] = []
        for piece in slices:
            if piece.input not in self.next:
                continue
            if known := bisect_left(piece.offsets, self.next[piece.input]):
                for column in (piece.keys, piece.values, piece.timestamps, piece.offsets):
                    del column[:known]
            if piece.offsets:
                self.next[piece.input] = piece.next_offset
                self.ends.pop(piece.input, None)
                fresh.append(piece)
        self.ends.update({key: end for key, end in ends.items() if end >= self.next.get(key, end + 1)})
        return fresh

    def cover(self, positions: Mapping[Input, int]) -> None:
        """Note that everything before these positions is accounted for.

        Raises:
            AssertionError: A position moves back: the stage is wrong, and committing would repeat its output.
        """
        for key, offset in positions.items():
            if offset < self.covered.get(key, 0):
                raise AssertionError(f"{key} was moved back from {self.covered[key]} to {offset}")
            self.covered[key] = offset

    def owing(self) -> bool:
        """Whether something was taken that is not yet accounted for."""
        return self.covered != self.next

    def uncommitted(self) -> dict[Input, int]:
        """The positions a commit has to carry; at the end of an input, past the transaction markers behind it."""
        target = dict(self.covered)
        for key, end in self.ends.items():
            if target.get(key) == self.next.get(key) and end > target.get(key, end):
                target[key] = end
        return {key: offset for key, offset in target.items() if offset > self.committed.get(key, -1)}
