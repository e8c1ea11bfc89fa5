"""The running number of each comparison, by which a lost one shows whatever the traffic.

A comparison carries how many there are of its trial in its partition, itself included. Whoever counts them compares: at
any record, the number is the count, or something is missing. It follows from the books and needs no state of its own.
"""

from collections.abc import Callable, Sequence


class Numbers:
    """Gives out numbers in the order in which comparisons are written.

    Args:
        counted: How many comparisons of a trial the books of a partition have.

    >>> numbers = Numbers(lambda partition, trial: 10 * partition)
    >>> numbers.of([1, 1, 0, 1], "live@1~s@1"), numbers.of([0], "live@1~s@1")
    ([11, 12, 1, 13], [2])
    """

    def __init__(self, counted: Callable[[int, str], int]) -> None:
        self._counted = counted
        self._last: dict[tuple[int, str], int] = {}

    def of(self, partitions: Sequence[int], trial: str) -> list[int]:
        """The numbers of n comparisons of one trial, by their partitions."""
        if len(kinds := set(partitions)) == 1:
            (partition,) = kinds
            start = self._so_far(partition, trial) + 1
            self._last[partition, trial] = start + len(partitions) - 1
            return list(range(start, start + len(partitions)))
        return [self.next(partition, trial) for partition in partitions]

    def next(self, partition: int, trial: str) -> int:
        """That of one comparison."""
        number = self._last[partition, trial] = self._so_far(partition, trial) + 1
        return number

    def _so_far(self, partition: int, trial: str) -> int:
        known = self._last.get((partition, trial))
        return self._counted(partition, trial) if known is None else known
