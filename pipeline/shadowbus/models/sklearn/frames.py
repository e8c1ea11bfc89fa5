"""From captured rows to a pandas data frame with the types that the model was fitted with.

In: n rows. Out: data frames, usually one. Guaranteed: the types of a row's columns come from the schema and from that
row's own values, never from its neighbours'. A truth value or a whole number that is missing has no place in a column
of its type, so such rows get a data frame of their own, in which that column has the type that pandas would give it.
"""

import datetime
import importlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shadowbus.errors import BundleError
from shadowbus.models.input_schema import Column, InputSchema
from shadowbus.models.model import PredictionError, Row
from shadowbus.models.sklearn.matrices import ODD, FeatureMatrix, Piece, number

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class FeatureFrame(FeatureMatrix):
    """Builds data frames for one model.

    Args:
        schema: What the model was fitted with; every column has a name.
        width: How many features there are.

    Raises:
        BundleError: pandas is not installed.
    """

    def __init__(self, schema: InputSchema, width: int | None = None) -> None:
        super().__init__(schema, width)
        try:
            self._pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise BundleError(
                "This model was fitted with a data frame, which needs pandas; pip install pandas."
            ) from error
        self._columns = schema.columns or ()
        self._splitting = [at for at, column in enumerate(self._columns) if _kinds_of(column) is not None]

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """Data frames of n rows in all.

        Raises:
            PredictionError: Rows cannot be read; its suspects are exactly those rows.
        """
        values = self.listed(rows)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, row in enumerate(values):
            groups[tuple(_kind(self._columns[at], row[at]) for at in self._splitting)].append(position)
        return [(places, self._frame(kinds, places, values)) for kinds, places in groups.items()]

    def _frame(self, kinds: tuple[str, ...], places: list[int], values: list[list[object]]) -> Any:
        kind_of = dict(zip(self._splitting, kinds, strict=True))
        wrong: dict[int, str] = {}
        found = {}
        for at, column in enumerate(self._columns):
            cells = [values[place][at] for place in places]
            kind = kind_of.get(at, column.type)
            found[column.name] = self._series(column, kind, self._converted(column, kind, cells, places, wrong))
        if wrong:
            raise PredictionError(next(iter(wrong.values())), suspects=tuple(wrong))
        return self._pandas.DataFrame(found)

    def _converted(
        self, column: Column, kind: str, cells: list[object], places: list[int], wrong: dict[int, str]
    ) -> list[object]:
        convert = _CELLS[kind]
        missing: object = None if column.none else np.nan
        found: list[object] = []
        for place, cell in zip(places, cells, strict=True):
            try:
                found.append(missing if cell is None else convert(cell))
            except ODD:
                found.append(missing)
                wrong[place] = f"Feature '{column.name}' is {str(cell)[:40]!r}, which is not a {_WORDS[kind]}."
        return found

    def _series(self, column: Column, kind: str, cells: list[object]) -> Any:
        pandas = self._pandas
        if kind == "category":
            categories = pandas.Index(list(column.categories or ()))
            return pandas.Categorical(cells, categories=categories, ordered=column.ordered)
        if kind == "datetime":
            return _times(pandas, cells, column.dtype or "datetime64[us]")
        exact = column.dtype if column.type == kind else None
        return pandas.Series(cells, dtype=exact or _DTYPES[kind])


def _times(pandas: Any, cells: list[object], dtype: str) -> Any:
    moments = pandas.Series([pandas.NaT if cell != cell else cell for cell in cells], dtype="datetime64[us, UTC]")
    zone = dtype.partition(", ")[2].removesuffix("]")
    return (moments if zone else moments.dt.tz_localize(None)).astype(dtype)


def _moment(cell: object) -> datetime.datetime:
    """A time from ISO 8601 text (without a zone: UTC), or from milliseconds since the epoch."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return EPOCH + datetime.timedelta(milliseconds=cell)
    if not isinstance(cell, str):
        raise TypeError("A time is text or a number.")
    moment = datetime.datetime.fromisoformat(cell)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)


def _whole(cell: object) -> int:
    return int(number(cell))


def _truth(cell: object) -> bool:
    return bool(number(cell))


def _itself(cell: object) -> object:
    return cell


_CELLS: dict[str, Callable[[Any], object]] = {
    "number": number,
    "integer": _whole,
    "boolean": _truth,
    "text": _itself,
    "category": _itself,
    "datetime": _moment,
    "object": _itself,
}
_DTYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "text": "object", "object": "object"}
_WORDS = {
    "number": "number",
    "integer": "number",
    "boolean": "truth value",
    "datetime": "time (ISO 8601, or milliseconds)",
}


def _kinds_of(column: Column) -> Callable[[object], str] | None:
    """How the type of a column follows from one row's value, or None where it is the same for all."""
    if column.type == "text" and column.dtype in (None, "object"):
        return None
    return {
        "unknown": _kind_of_unknown,
        "boolean": _kind_of_truth,
        "integer": _kind_of_whole,
        "text": _kind_of_text,
    }.get(column.type)


def _kind(column: Column, value: object) -> str:
    kinds_of = _kinds_of(column)
    return column.type if kinds_of is None else kinds_of(value)


def _kind_of_unknown(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None or isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "object"


def _kind_of_truth(value: object) -> str:
    return "boolean" if isinstance(value, bool) or value in (0, 1) else "object"


def _kind_of_whole(value: object) -> str:
    return "integer" if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else "number"


def _kind_of_text(value: object) -> str:
    return "text" if value is None or isinstance(value, str) else "object"
