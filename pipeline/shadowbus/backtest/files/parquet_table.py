"""Parquet, read with pyarrow: each of its types as the value that JSON has for it, or its row is bad.

Decimals and durations (in seconds) are numbers, dates and times ISO 8601 texts, maps objects; bytes are text if they
are UTF-8. A number that is infinite has no such value.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import compute, parquet, types

from shadowbus.backtest.files.contents import unreadable
from shadowbus.backtest.files.table import Batch
from shadowbus.errors import ShadowbusError


class ParquetTable:
    """A Parquet file.

    Raises:
        ShadowbusError: It is not one.
    """

    text_cells = False

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0
        try:
            self.file = parquet.ParquetFile(path)
            self.all_names = [name.strip() for name in self.file.schema_arrow.names]
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise unreadable(path, error) from error
        if twice := sorted({name for name in self.all_names if name and self.all_names.count(name) > 1}):
            self.close()
            raise ShadowbusError(f"{path} has more than one column named {twice[0]!r}.")
        self.names: tuple[str, ...] = tuple(filter(None, self.all_names))
        self.nameless = [index + 1 for index, name in enumerate(self.all_names) if not name]
        self.rows = max(1, int(self.file.metadata.num_rows))

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows; their numbers begin with 1."""
        try:
            for found in self.file.iter_batches(batch_size=size):
                start, self.read = self.read + 1, self.read + found.num_rows
                named = {name: column for name, column in zip(self.all_names, found.columns, strict=True) if name}
                yield self._batch(list(range(start, self.read + 1)), named)
        except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error

    def done(self) -> float:
        """By rows."""
        return self.read / self.rows

    def close(self) -> None:
        """Close it."""
        self.file.close()

    def _batch(self, lines: list[int], columns: dict[str, Any]) -> Batch:
        values: dict[str, list[Any]] = {}
        unfit: dict[int, str] = {}
        for name, column in columns.items():
            try:
                values[name], wrong = _values(column)
            except (pyarrow.ArrowException, UnicodeDecodeError, ValueError, OverflowError) as error:
                raise ShadowbusError(
                    f"{self.path}: column {name!r}, of type {column.type}, cannot be read ({error}): write it as "
                    "text, or leave it out of the file."
                ) from error
            for index, why in wrong.items():
                unfit.setdefault(index, f"column {name!r} is {column.type}, and {why}")
        batch = Batch(lines, values)
        return batch.without(unfit) if unfit else batch


def _values(column: Any) -> tuple[list[Any], dict[int, str]]:
    kind = column.type
    if isinstance(kind, pyarrow.BaseExtensionType) and str(kind) != "extension<arrow.uuid>":
        column, kind = column.storage, column.storage.type
    if types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if types.is_floating(kind):
        found = column.cast(pyarrow.float64())
        infinite = compute.indices_nonzero(compute.fill_null(compute.is_inf(found), False)).to_pylist()
        values = compute.if_else(compute.is_nan(found), None, found).to_pylist()
        return values, dict.fromkeys(infinite, "an infinite number has no place in a record")
    if types.is_integer(kind) and column.null_count == 0:
        return column.to_numpy(zero_copy_only=False).tolist(), {}
    if types.is_decimal(kind):
        whole = kind.scale <= 0
        return [
            None if one is None else (int(one) if whole and abs(one) < 2**63 else float(one))
            for one in column.to_pylist()
        ], {}
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _texts(column.to_pylist())
    if types.is_fixed_size_binary(kind):
        return [None if one is None else one.hex() for one in column.to_pylist()], {}
    if types.is_duration(kind):
        seconds = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        return [None if one is None else one / seconds for one in column.cast(pyarrow.int64()).to_pylist()], {}
    plain = _without_nanoseconds(kind)
    found = column if plain == kind else column.cast(plain, safe=False)
    return list(found.to_pylist(maps_as_pydicts="strict") if types.is_nested(plain) else found.to_pylist()), {}


def _texts(values: list[Any]) -> tuple[list[Any], dict[int, str]]:
    texts: list[str | None] = []
    unfit: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
            unfit[index] = "its bytes are no UTF-8"
    return texts, unfit


def _without_nanoseconds(kind: Any) -> Any:
    """The same type in microseconds, which is all that Python's own times have, however deep it lies."""
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pyarrow.timestamp("us", tz=kind.tz)
    if types.is_time64(kind) and kind.unit == "ns":
        return pyarrow.time64("us")
    if types.is_duration(kind) and kind.unit == "ns":
        return pyarrow.duration("us")
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(_without_nanoseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(_without_nanoseconds(kind.key_type), _without_nanoseconds(kind.item_type))
    if types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_without_nanoseconds(kind.value_type)))
    if types.is_large_list(kind):
        return pyarrow.large_list(kind.value_field.with_type(_without_nanoseconds(kind.value_type)))
    return kind
