"""Records as rows of columns with types, for Parquet files: one column for each field.

What has no type of its own (an answer, scores, features, segments) is a column of JSON text, since two records may hold
different things there.
"""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 10_000

AS_JSON = {b"holds": b"json"}

_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema_of(kind: type) -> pa.Schema:
    """The columns of a record type.

    >>> from shadowbus.records import Label
    >>> [(field.name, str(field.type)) for field in schema_of(Label)][:3]
    [('request_id', 'string'), ('timestamp_ms', 'int64'), ('label', 'string')]
    """
    return pa.schema(list(_columns(kind)))


def write_parquet(records: Iterable[Any], kind: type, path: Path) -> int:
    """Write records to a file; returns how many there were."""
    schema, count = schema_of(kind), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for record in records:
            rows.append(_row(record, schema))
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                count, rows = count + len(rows), []
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return count + len(rows)


def _columns(kind: type) -> Iterator[pa.Field]:
    for name, hint in typing.get_type_hints(kind).items():
        arms = [arm for arm in (typing.get_args(hint) or (hint,)) if arm is not type(None)]
        only = arms[0] if len(arms) == 1 else None
        if dataclasses.is_dataclass(only):
            yield pa.field(name, pa.struct(list(_columns(typing.cast(type, only)))))
        else:
            plain = _PLAIN.get(typing.cast(type, only))
            yield pa.field(name, plain) if plain else pa.field(name, pa.string(), metadata=AS_JSON)


def _row(record: Any, fields: Iterable[pa.Field]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field in fields:
        value = getattr(record, field.name)
        if value is None:
            row[field.name] = None
        elif pa.types.is_struct(field.type):
            row[field.name] = _row(value, field.type)
        elif field.metadata == AS_JSON:
            row[field.name] = orjson.dumps(value).decode()
        else:
            row[field.name] = value
    return row
