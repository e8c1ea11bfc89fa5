"""Rows of a file, some at a time: columns by name, or lines of JSON as they are, and the rows that are neither."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from orjson import JSONEncodeError, dumps

from shadowbus.backtest.cells import texts_of, values_of


class BadRow(NamedTuple):
    """A row that cannot be used: its line (in Parquet: row), why, and its key and bytes as far as there are any."""

    line: int
    reason: str
    value: bytes
    key: bytes | None = None


@dataclass(slots=True)
class Batch:
    """N rows.

    Attributes:
        lines: Their n lines.
        columns: N values of each column.
        raw: Their n lines as they are, where the file is JSON lines.
        cells: Whether the columns are text that is still to be read as values.
        bad: Rows that are not among the n.
    """

    lines: list[int]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)
    cells: bool = False
    bad: list[BadRow] = field(default_factory=list)

    def values(self, name: str, *, text: bool = False) -> list[Any]:
        """The n values of a column; None where there is no such column. With `text` cells stay text."""
        column = self.columns.get(name)
        if column is None:
            return [None] * len(self.lines)
        if not self.cells:
            return list(column)
        return texts_of(column) if text else values_of(column)

    def row(self, index: int) -> bytes:
        """One row, to be set aside."""
        if self.raw:
            return self.raw[index]
        found = {name: column[index] for name, column in self.columns.items()}
        try:
            return dumps(found, default=str)
        except JSONEncodeError:
            return repr(found).encode("utf-8", "backslashreplace")


class Table(Protocol):
    """A file that is read once from its beginning to its end."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns; None where each row has its own."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows, about so many at a time."""
        ...

    def done(self) -> float:
        """How much of it is read, from 0 to 1."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...
