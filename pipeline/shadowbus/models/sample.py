"""Rows that show what a model was fitted with and what it answers, kept in its bundle.

In: a file of rows, as requests have them (JSON lines) or with their types (Parquet). Out: the types of columns that
the model itself cannot tell, and the answers it gives where the bundle is made. Guaranteed: a bundle with a sample is
loaded only where the model gives the same answers again: alone, in a batch, and in another order.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from msgspec.structs import replace

from shadowbus.errors import BundleError
from shadowbus.models.input_schema import Column, InputSchema, Type
from shadowbus.models.model import Model, PredictionError, Predictions, Row

MOST_ROWS = 200
"""More rows of a sample are left out: they are asked at every load."""

ALONE = 10
NEAR = 1e-6
"""Numbers may differ by so much, relative to their size: other processors and builds round otherwise."""

_KINDS: Mapping[str, Type] = {
    "bool": "boolean",
    "int": "integer",
    "uint": "integer",
    "float": "number",
    "datetime64": "datetime",
}
"""What pandas' types are here, by their names without the size."""


@dataclass(frozen=True, slots=True)
class SampleRows:
    """Rows of a sample file.

    Attributes:
        rows: Their features, as JSON has them.
        frame: The same as a pandas data frame with the types of the file, if it has any.
    """

    rows: list[Row]
    frame: Any = None


def read_sample(path: Path) -> SampleRows:
    """Read a sample.

    Args:
        path: JSON lines, each a request or the features of one; or Parquet, with a column for each feature.

    Raises:
        BundleError: It cannot be read, or has no rows.
    """
    readers = {".jsonl": _read_lines, ".ndjson": _read_lines, ".json": _read_lines, ".parquet": _read_parquet}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise BundleError(f"A sample is read from {', '.join(readers)}, and {path} is none of them; convert it.")
    try:
        sample = read(path)
    except OSError as error:
        raise BundleError(f"The sample {path} cannot be read ({error.strerror}); check the path.") from error
    if not sample.rows:
        raise BundleError(f"The sample {path} has no rows; give some that the model can answer.")
    return sample


def told_by(sample: SampleRows, schema: InputSchema) -> InputSchema:
    """The same schema with the types that a sample's data frame shows.

    Raises:
        BundleError: A column is not in the sample, or of a type that no row of JSON can be turned into.
    """
    if sample.frame is None or schema.names is None or schema.container in ("texts", "dicts"):
        return schema
    by_name = {_plain_name(name): name for name in map(str, sample.frame.columns)}
    lacking = [name for name in schema.names if _plain_name(name) not in by_name]
    if lacking:
        raise BundleError(f"The sample has no column '{lacking[0]}', which the model reads; add it.")
    columns = []
    for column in schema.columns or ():
        name = by_name[_plain_name(str(column.name))]
        columns.append(_typed(replace(column, name=name), sample.frame[name]))
    plain = all(column.type in ("number", "integer") and column.dtype in (None, "int64") for column in columns)
    container = schema.container if plain or schema.container == "objects" else "frame"
    return InputSchema(container, tuple(columns))


def answered(model: Model, rows: Sequence[Row]) -> bytes:
    """The sample with the model's answers, as the bytes of its file.

    Raises:
        BundleError: The model cannot answer a row, or answers it otherwise in other company.
    """
    try:
        answers = model.predict(rows)
    except PredictionError as error:
        raise BundleError(_unanswered(model, error)) from error
    columns = zip(rows, answers.predictions, answers.scores or [None] * len(rows), strict=True)
    lines = [orjson.dumps({"features": row, "prediction": one, "scores": scores}) for row, one, scores in columns]
    check(model, b"\n".join(lines))
    return b"".join(line + b"\n" for line in lines)


def check(model: Model, text: bytes) -> None:
    """Ask a model its sample again.

    Args:
        model: The model.
        text: The bytes of the sample's file.

    Raises:
        BundleError: It answers otherwise than where the bundle was made.
    """
    asked = [orjson.loads(line) for line in text.splitlines()]
    rows = [one["features"] for one in asked]
    for way, answers in _ways(model, rows):
        for one, prediction, scores in answers:
            if not (_same(one, asked, prediction, "prediction") and _same(one, asked, scores, "scores")):
                before = _short(asked[one]["prediction"], asked[one]["scores"])
                raise BundleError(
                    f"{model.model}, asked row {one + 1} of its sample {way}, answers {_short(prediction, scores)}; "
                    f"where its bundle was made it answered {before}. Install the library versions in its manifest."
                )


def _ways(model: Model, rows: list[Row]) -> Iterator[tuple[str, Iterable[tuple[int, object, object]]]]:
    try:
        yield "in a batch", _by_row(range(len(rows)), model.predict(rows))
        backwards = range(len(rows) - 1, -1, -1)
        yield "in another order", _by_row(backwards, model.predict([rows[at] for at in backwards]))
        for at, row in enumerate(rows[:ALONE]):
            yield "alone", _by_row([at], model.predict([row]))
    except PredictionError as error:
        raise BundleError(_unanswered(model, error)) from error


def _by_row(places: Sequence[int], answers: Predictions) -> Iterator[tuple[int, object, object]]:
    return zip(places, answers.predictions, answers.scores or [None] * len(places), strict=True)


def _same(at: int, asked: Sequence[Any], found: object, what: str) -> bool:
    return _near(orjson.loads(orjson.dumps(found)), asked[at][what])


def _near(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, int | float):
        return bool(np.isclose(found, wanted, rtol=NEAR, atol=NEAR))
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_near, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_near(found[key], wanted[key]) for key in found)
    return bool(found == wanted)


def _short(prediction: object, scores: object) -> str:
    text = str(prediction) if scores is None else f"{prediction} ({scores})"
    return text if len(text) < 120 else text[:117] + "..."


def _unanswered(model: Model, error: PredictionError) -> str:
    where = f"row {error.suspects[0] + 1}" if error.suspects else "a row"
    return (
        f"{model.model} cannot answer {where} of the sample: {error}. Were columns of other types when it was fitted, "
        "give the sample as Parquet, which keeps them."
    )


def _read_lines(path: Path) -> SampleRows:
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BundleError(f"{path}, line {number} is not JSON ({error}); write one row a line.") from error
        row = found["features"] if isinstance(found, dict) and isinstance(found.get("features"), dict | list) else found
        if not isinstance(row, dict | list):
            raise BundleError(f"{path}, line {number} is no object and no list; write one row's features a line.")
        rows.append(row)
        if len(rows) == MOST_ROWS:
            break
    return SampleRows(rows)


def _read_parquet(path: Path) -> SampleRows:
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise BundleError(f"A Parquet sample needs '{error.name}'; pip install pandas pyarrow.") from error
    try:
        frame = pandas.read_parquet(path).head(MOST_ROWS).reset_index(drop=True)
    except (ValueError, importlib.import_module("pyarrow").ArrowException) as error:
        raise BundleError(f"The sample {path} cannot be read as Parquet ({error}).") from error
    return SampleRows(
        [{str(name): _as_json(value) for name, value in row.items()} for row in frame.to_dict("records")], frame
    )


def _as_json(value: Any) -> Any:
    if value is None or value != value or type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _typed(column: Column, series: Any) -> Column:
    dtype = str(series.dtype)
    if dtype == "category":
        values = series.cat.categories.tolist()
        if all(isinstance(value, str | int | float) for value in values):
            return replace(column, type="category", categories=tuple(values), ordered=bool(series.cat.ordered))
    elif column.type == "category":  # the model says so itself; Parquet keeps categories of texts only
        return column
    elif dtype in ("object", "str", "string"):
        there = [value for value in series.tolist() if value is not None and value == value]
        if all(isinstance(value, str) for value in there):
            return replace(column, type="text", dtype=None if dtype == "object" else dtype)
        if all(isinstance(value, str | bool | int | float) for value in there):
            return replace(column, type="object")
    elif kind := _KINDS.get(dtype.rstrip("0123456789") if not dtype.startswith("datetime64") else "datetime64"):
        return replace(column, type=kind, dtype=None if dtype in ("float64", "bool") else dtype)
    raise BundleError(
        f"Column '{column.name}' of the sample is of type {dtype}, which no row of JSON can be turned into; fit the "
        "model on numbers, texts, categories, truth values or times."
    )


def _plain_name(name: str) -> str:
    """A name as LightGBM keeps it, which leaves no spaces in names."""
    return name.replace(" ", "_")
