"""A batch on its way through the model: the joined rows, and what changes once the model has answered."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowbus.replay.books import Entry
from shadowbus.replay.join import Unmatched
from shadowbus.replay.live import Live
from shadowbus.replay.model.client import Chunk
from shadowbus.stage import Outputs


@dataclass(slots=True)
class JoinedRows:
    """N requests, joined with their live answers, as columns of equal length.

    `values` and `offsets` are the requests'. `lives` has None where no answer came within the join window; `models`
    names the live model even then. `weight` is how many requests each row stands for.
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
        """Add one row."""
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
        """Add many rows of one partition."""
        self.partitions += [partition] * len(keys)
        self.keys += keys
        self.values += values
        self.offsets += offsets
        self.lives += lives
        self.models += models

    def part(self, start: int, end: int) -> "JoinedRows":
        """The rows from `start` to `end`."""
        return self._made(column[start:end] for column in self._columns())

    def only(self, rows: Sequence[int]) -> "JoinedRows":
        """Some of the rows."""
        return self._made([column[row] for row in rows] for column in self._columns())

    def _made(self, columns: Iterable[Any]) -> "JoinedRows":
        joined = JoinedRows(*columns)
        joined.weight = self.weight
        return joined

    def _columns(self) -> tuple[list[Any], ...]:
        return self.partitions, self.keys, self.values, self.offsets, self.lives, self.models


@dataclass(slots=True)
class InFlightBatch:
    """Outputs and positions, the chunks in flight, and by partition counts and changes of the unmatched records.

    `unpaired` are live answers whose request never came: partition, id, answer, since when it waited.
    """

    outputs: Outputs
    unpaired: list[tuple[int, bytes, Live, int]] = field(default_factory=list)
    chunks: list[tuple[Chunk, JoinedRows]] = field(default_factory=list)
    books: dict[int, Counter[Entry]] = field(default_factory=dict)
    changes: dict[int, tuple[dict[bytes, Unmatched | None], list[bytes]]] = field(default_factory=dict)
    waiting: dict[int, tuple[int, int]] = field(default_factory=dict)

    def count(self, partition: int, *entry: str, by: int = 1) -> None:
        """Add to a count of the books."""
        self.books.setdefault(partition, Counter())[entry] += by

    def leave_out(self, joined: JoinedRows) -> None:
        """Count rows that are sampled out: their requests, and the predictions of those that have one."""
        for partition, live in zip(joined.partitions, joined.lives, strict=True):
            self.count(partition, "requests", "sampled_out")
            if live is not None:
                self.count(partition, "predictions", "sampled_out")
