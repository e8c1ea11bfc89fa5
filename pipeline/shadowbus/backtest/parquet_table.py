"""Parquet, read with pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from shadowbus.backtest.batch import Batch
from shadowbus.backtest.opening import unreadable


class ParquetTable:
    """A Parquet file.

    Raises:
        ShadowbusError: It is not one.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0
        try:
            self.file = parquet.ParquetFile(path)
        except pyarrow.ArrowException as error:
            raise unreadable(path, error) from error
        self.names: tuple[str, ...] = tuple(self.file.schema_arrow.names)
        self.rows = max(1, int(self.file.metadata.num_rows))

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows; their numbers begin with 1."""
        try:
            for found in self.file.iter_batches(batch_size=size):
                columns = {name: _values(column) for name, column in zip(self.names, found.columns, strict=True)}
                start, self.read = self.read + 1, self.read + found.num_rows
                yield Batch(list(range(start, self.read + 1)), columns)
        except (OSError, pyarrow.ArrowException) as error:
            raise unreadable(self.path, error) from error

    def done(self) -> float:
        """By rows."""
        return self.read / self.rows

    def close(self) -> None:
        """Close it."""
        self.file.close()


def _values(column: Any) -> list[Any]:
    if column.null_count == 0 and (pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)):
        found: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return found
    return list(column.to_pylist())
