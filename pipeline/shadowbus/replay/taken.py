"""Records of one side of one partition that can be joined, as columns."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

from shadowbus.replay.live import Live


@dataclass(slots=True)
class Taken:
    """Columns of equal length; `lives` is empty for requests."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lives: list[Live] = field(default_factory=list)

    def extend(
        self,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        timestamps: Sequence[int],
        offsets: Sequence[int],
        lives: Sequence[Live],
    ) -> None:
        """Many more."""
        self.keys += keys
        self.values += values
        self.timestamps += timestamps
        self.offsets += offsets
        self.lives += lives

    def split(self, keys: AbstractSet[bytes]) -> "tuple[Taken, Taken]":
        """The records with these keys, each of which is here once, and the others; usually there are few of those."""
        if len(keys) == len(self.keys):
            return self, Taken()
        rest = [row for row, key in enumerate(self.keys) if key not in keys]
        runs = [(after + 1, row) for after, row in pairwise((-1, *rest, len(self.keys)))]
        columns: tuple[list[Any], ...] = (self.keys, self.values, self.timestamps, self.offsets, self.lives)
        chosen = (list(chain.from_iterable(column[start:end] for start, end in runs)) for column in columns)
        others = ([column[row] for row in rest] if column else [] for column in columns)
        return Taken(*chosen), Taken(*others)
