"""Requests with their live answers, as columns, on their way to the model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowbus.replay.live import Live


@dataclass(slots=True)
class Pairs:
    """N pairs as columns of equal length: partition, key, the request's value and offset, the live answer.

    `lives` has None where no answer came within the join window; `models` is the live model's name all the same.
    `weight` is how many requests each of them stands for.
    """

    partitions: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lives: list[Live | None] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, partition: int, key: bytes, value: bytes, offset: int, live: Live | None, model: str) -> None:
        """One more pair."""
        self.extend(partition, [key], [value], [offset], [live], [model])

    def extend(
        self,
        partition: int,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        offsets: Sequence[int],
        lives: Sequence[Live | None],
        models: Sequence[str],
    ) -> None:
        """Many more pairs of one partition."""
        self.partitions += [partition] * len(keys)
        self.keys += keys
        self.values += values
        self.offsets += offsets
        self.lives += lives
        self.models += models

    def part(self, start: int, end: int) -> "Pairs":
        """The pairs from `start` to `end`."""
        return self._made(column[start:end] for column in self._columns())

    def only(self, rows: Sequence[int]) -> "Pairs":
        """Some of the pairs."""
        return self._made([column[row] for row in rows] for column in self._columns())

    def _made(self, columns: Iterable[Any]) -> "Pairs":
        pairs = Pairs(*columns)
        pairs.weight = self.weight
        return pairs

    def _columns(self) -> tuple[list[Any], ...]:
        return self.partitions, self.keys, self.values, self.offsets, self.lives, self.models
