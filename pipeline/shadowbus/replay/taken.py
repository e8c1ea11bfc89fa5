"""Records of one side of one partition that can be joined, as columns."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress
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

    def of(self, keys: AbstractSet[bytes]) -> "Taken":
        """The records with these keys."""
        if len(keys) == len(self.keys):
            return self
        return self._where([key in keys for key in self.keys])

    def without(self, keys: AbstractSet[bytes]) -> "Taken":
        """The records with other keys than these."""
        return self._where([key not in keys for key in self.keys]) if keys else self

    def _where(self, chosen: list[bool]) -> "Taken":
        columns: tuple[list[Any], ...] = (self.keys, self.values, self.timestamps, self.offsets, self.lives)
        return Taken(*(list(compress(column, chosen)) for column in columns))
