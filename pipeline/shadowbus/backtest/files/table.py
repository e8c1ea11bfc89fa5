"""Rows of a file, some at a time: columns by name, or lines of JSON as they are, and the rows that are neither."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from orjson import JSONEncodeError, dumps

from shadowbus.errors import Malformed


class BadRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
        line: Its line (in Parquet: row).
        reason: Why.
        value: Its bytes, as far as there are any.
        key: Its key.
        group: What rows that are set aside for the same have in common, where their reasons differ.
    """

    line: int
    reason: str
    value: bytes
    key: bytes | None = None
    group: str = ""


@dataclass(slots=True)
class Batch:
    """N rows.

    Attributes:
        lines: Their n lines.
        columns: N values of each column.
        raw: Their n lines as they are, where the file is JSON lines.
        bad: Rows that are not among the n.
        ids: Their n ids, once they are read.
        times: N times of each column of times, once they are read.
    """

    lines: list[int]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    ids: Sequence[str | None] = ()
    times: Mapping[str, Sequence[int | Malformed | None]] = field(default_factory=dict)

    def values(self, name: str) -> Sequence[Any]:
        """The n values of a column; None where there is no such column, as there is none named ""."""
        column = self.columns.get(name) if name else None
        return [None] * len(self.lines) if column is None else column

    def row(self, index: int) -> bytes:
        """One row, to be set aside."""
        if self.raw:
            return self.raw[index]
        found = {name: column[index] for name, column in self.columns.items()}
        try:
            return dumps(found, default=str)
        except JSONEncodeError:
            return repr(found).encode("utf-8", "backslashreplace")

    def without(
        self, unfit: Mapping[int, str], groups: Mapping[int, str] | None = None, source: "Batch | None" = None
    ) -> "Batch":
        """The rows that are left when some are bad.

        Args:
            unfit: Why, by index.
            groups: Of these reasons, what they have in common.
            source: The same rows as they are in the file.
        """
        kept = [index for index in range(len(self.lines)) if index not in unfit]
        bad = [
            BadRow(self.lines[index], reason, (source or self).row(index), group=(groups or {}).get(index, ""))
            for index, reason in sorted(unfit.items())
        ]
        columns = {name: [column[index] for index in kept] for name, column in self.columns.items()}
        raw = [self.raw[index] for index in kept] if self.raw else []
        return Batch([self.lines[index] for index in kept], columns, raw, [*self.bad, *bad])


class Table(Protocol):
    """A file that is read once from its beginning to its end."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns; None where each row has its own."""
        ...

    @property
    def nameless(self) -> list[int]:
        """Columns without a name, which are left out, counted from 1."""
        ...

    @property
    def text_cells(self) -> bool:
        """Whether values are text that is still to be read."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows, about this many at a time."""
        ...

    def done(self) -> float:
        """How much of it is read, from 0 to 1."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
