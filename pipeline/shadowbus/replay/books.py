"""The account books of one source partition: what was read, and what became of every single record.

For each input: read = duplicates + dead-lettered + still waiting + sampled out + compared, whatever the status. They
are counted where things happen, kept in the changelog with the state they describe, and published with the vitals.
Records that nobody could read, because Kafka had deleted them or somebody moved the group on, are `never_read`: they
count as read, nothing balances them, and so the books show a gap.

Of trials without end the 100 counted last have entries of their own; the others are one entry, so that the books close.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowbus.records import STATUSES
from shadowbus.trials import TrialName

Entry = tuple[str, ...]
"""What is counted: ("requests", "read"), ("predictions", "duplicates"), ("comparisons", trial, status)."""

SIDES = ("requests", "predictions")

MOST_TRIALS = 100
"""How many trials have counts of their own: those counted last, as in the aggregate of the same partition."""

OLDER = "|older"
"""Under this name, which no trial can have, the comparisons of all earlier trials are counted."""


@dataclass(slots=True)
class Books:
    """Counts since the beginning of one partition, with the offsets up to which they count."""

    counts: Counter[Entry] = field(default_factory=Counter)
    trials: dict[str, None] = field(default_factory=dict)  # that counted longest ago first
    waiting: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    next_offsets: dict[str, int] = field(default_factory=dict)

    def add(self, counts: Counter[Entry]) -> None:
        """Add to the counts."""
        self.counts.update(counts)
        for trial in dict.fromkeys(entry[1] for entry in counts if entry[0] == "comparisons"):
            self._counted_last(trial)

    def comparisons(self, trial: str) -> int:
        """How many comparisons of a trial were written, whatever their status."""
        return sum(self.counts["comparisons", trial, status] for status in STATUSES)

    def live_models(self) -> set[str]:
        """The live models of the trials that have entries of their own."""
        return {TrialName.parse(trial).live for trial in self.trials}

    def record(self) -> dict[str, Any]:
        """The books as the changelog and vitals have them."""
        document: dict[str, Any] = {
            side: {
                "read": self.counts[side, "read"],
                "duplicates": self.counts[side, "duplicates"],
                "dead_lettered": self.counts[side, "dead_lettered"],
                "waiting": self.waiting[side],
                "sampled_out": self.counts[side, "sampled_out"],
                "never_read": self.counts[side, "never_read"],
                "next_offset": self.next_offsets.get(side, 0),
            }
            for side in SIDES
        }
        comparisons: dict[str, dict[str, int]] = {trial: {} for trial in self.trials}
        for entry, count in self.counts.items():
            if entry[0] == "comparisons":
                comparisons.setdefault(entry[1], {})[entry[2]] = count
        return {**document, "comparisons": comparisons}

    def _counted_last(self, trial: str) -> None:
        self.trials[trial] = self.trials.pop(trial, None)
        while len(self.trials) > MOST_TRIALS:
            oldest = next(iter(self.trials))
            del self.trials[oldest]
            for status in STATUSES:
                if (entry := ("comparisons", oldest, status)) in self.counts:
                    self.counts["comparisons", OLDER, status] += self.counts.pop(entry)

    @classmethod
    def from_record(cls, document: dict[str, Any]) -> "Books":
        """Read them back.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: They are not books.
        """
        books = cls()
        for side in SIDES:
            for name in ("read", "duplicates", "dead_lettered", "never_read"):
                books.counts[side, name] = _count(document[side][name])
            books.counts[side, "sampled_out"] = _count(document[side].get("sampled_out", 0))
            books.waiting[side] = _count(document[side]["waiting"])
            books.next_offsets[side] = _count(document[side]["next_offset"])
        for trial, statuses in document["comparisons"].items():
            for status, count in statuses.items():
                books.counts["comparisons", trial, status] = _count(count)
            if trial != OLDER:
                books._counted_last(trial)
        return books


def _count(found: object) -> int:
    if not isinstance(found, int) or found < 0:
        raise ValueError(f"{found!r} is not a count")
    return found


class RunningNumbers:
    """Gives out numbers in the order in which comparisons are written.

    Args:
        counted: How many comparisons of a trial the books of a partition have.

    >>> numbers = RunningNumbers(lambda partition, trial: 10 * partition)
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
