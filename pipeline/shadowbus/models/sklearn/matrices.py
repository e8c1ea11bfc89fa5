"""From captured rows to what a model without a data frame reads.

In: n rows, as objects by feature name or as lists. Out: a matrix of n rows of k values in training order, or n texts,
or n objects. Guaranteed: a value is never put in another feature's place; what is absent or null becomes not-a-number
(or None, where the model was fitted so).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from shadowbus.models.input_schema import Column, InputSchema
from shadowbus.models.model import PredictionError, Row

ODD = (KeyError, TypeError, ValueError, OverflowError)
"""What a row that cannot be read raises."""

Piece = tuple[Sequence[int] | None, Any]
"""Rows that are asked together: their positions in the batch (None: all, in order), and what the model receives."""


class FeatureMatrix:
    """Builds matrices of numbers for one model, and is what the builders of everything else begin with.

    Args:
        schema: What the model was fitted with.
        width: How many features there are, where the schema does not say; None takes the first list's length.
    """

    def __init__(self, schema: InputSchema, width: int | None = None) -> None:
        self.schema = schema
        self.names = schema.names
        self.width = width if schema.columns is None else len(schema.columns)
        self._pick = _picker(self.names) if self.names else None

    @property
    def of_numbers(self) -> bool:
        """Whether it is a plain matrix of float64."""
        return self.schema.container == "numbers"

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """What the model is asked with, for n rows in all.

        Raises:
            PredictionError: Rows cannot be read; its suspects are exactly those rows.
        """
        for pick in (self._pick, self._pick_or_none):
            with suppress(*ODD):
                return [(None, self._quick(rows, pick))]
        return [(None, self._matrix(rows, np.float64, [number] * (self.width or self._width(rows))))]

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        """The features each row lacks (null is not lacking), or None when no row lacks any."""
        if not self._any_lacking(rows):
            return None
        return [self._lacking(row) for row in rows]

    def listed(self, rows: Sequence[Row]) -> list[list[object]]:
        """Each row's values in training order.

        Raises:
            PredictionError: Rows have another shape; its suspects are exactly those rows.
        """
        width = self.width or self._width(rows)
        wrong: dict[int, str] = {}
        found: list[list[object]] = []
        for position, row in enumerate(rows):
            try:
                found.append(self._values(row, width))
            except ODD as error:
                wrong[position] = str(error)
        if wrong:
            raise PredictionError(next(iter(wrong.values())), suspects=tuple(wrong))
        return found

    def _matrix(self, rows: Sequence[Row], dtype: Any, cells: Sequence[Callable[[object], object]]) -> NDArray[Any]:
        matrix = np.empty((len(rows), len(cells)), dtype=dtype)
        wrong: dict[int, str] = {}
        for position, row in enumerate(rows):
            try:
                values = self._values(row, len(cells))
            except ODD as error:
                wrong[position] = str(error)
                continue
            for place, (cell, value) in enumerate(zip(cells, values, strict=True)):
                try:
                    matrix[position, place] = cell(value)
                except ODD:
                    name = self.names[place] if self.names else place
                    wrong[position] = f"Feature '{name}' is {str(value)[:40]!r}, which is not a number."
                    break
        if wrong:
            raise PredictionError(next(iter(wrong.values())), suspects=tuple(wrong))
        return matrix

    def _width(self, rows: Sequence[Row]) -> int:
        return next((len(row) for row in rows if isinstance(row, list | tuple)), 0)

    def _any_lacking(self, rows: Sequence[Row]) -> bool:
        kinds = set(map(type, rows))
        if kinds == {dict} and self.names is not None:
            wanted = frozenset(self.names)
            return not all(wanted <= row.keys() for row in rows)  # type: ignore[union-attr]
        return not (kinds <= {list, tuple} and set(map(len, rows)) <= {self.width or self._width(rows)})

    def _quick(self, rows: Sequence[Row], pick: Callable[[Any], tuple[object, ...]] | None) -> NDArray[np.float64]:
        # One type check and one length check over the batch, or a list of 29 beside one of 31 would shift values.
        kinds = set(map(type, rows))
        width = self.width
        picked: Any
        if kinds == {dict} and pick is not None and self.names is not None:
            picked = map(pick, rows)
        elif kinds <= {list, tuple} and set(map(len, rows)) == {width or len(rows[0])}:
            picked, width = rows, len(rows[0])
        else:
            raise TypeError("These rows have to be read one by one.")
        # numpy reads None as not-a-number here, which is what is wanted.
        flat = np.fromiter(chain.from_iterable(picked), np.float64, len(rows) * (width or 0))
        return flat.reshape(len(rows), -1)

    def _pick_or_none(self, row: Any) -> tuple[object, ...]:
        if self._pick is None:
            raise TypeError("Without names only lists can be read.")
        try:
            return self._pick(row)
        except KeyError:
            return tuple(map(row.get, self.names or ()))

    def _values(self, row: Row, width: int) -> list[object]:
        if isinstance(row, Mapping):
            if self.names is None:
                raise TypeError(
                    "The bundle names no features, so rows must be lists: make it again with --features a,b,c in "
                    "the order the model was trained on."
                )
            return [row.get(name) for name in self.names]
        if not isinstance(row, list | tuple):
            raise TypeError(f"A row must be an object or a list, not {type(row).__name__}.")
        if len(row) != width:
            raise TypeError(f"The row has {len(row)} values and the model reads {width} features.")
        return list(row)

    def _lacking(self, row: Row) -> tuple[str, ...]:
        if isinstance(row, Mapping):
            return tuple(name for name in self.names or () if name not in row)
        if not isinstance(row, list | tuple):
            return self.names or ()
        names = self.names or tuple(map(str, range(self.width or len(row))))
        return names[len(row) :]


class SparseMatrix(FeatureMatrix):
    """Builds sparse matrices, for a model that keeps one: distances to it would be rounded otherwise."""

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """One matrix of n rows; see `FeatureMatrix.pieces`."""
        return [(places, csr_matrix(matrix)) for places, matrix in super().pieces(rows)]


class ObjectMatrix(FeatureMatrix):
    """Builds matrices of objects: texts and categories beside numbers, without names."""

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """One matrix of n rows; see `FeatureMatrix.pieces`."""
        return [(None, self._matrix(rows, object, [_cell(column) for column in self.schema.columns or ()]))]


class Texts(FeatureMatrix):
    """Builds lists of texts, for a model that reads one text."""

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """One list of n texts.

        Raises:
            PredictionError: Rows hold no text, or several values; its suspects are exactly those rows.
        """
        wrong: dict[int, str] = {}
        texts: list[str] = []
        for position, row in enumerate(rows):
            text = self._text(row)
            if isinstance(text, str):
                texts.append(text)
            else:
                wrong[position] = f"The model reads one text, and the row has {str(text)[:40]!r}."
        if wrong:
            raise PredictionError(next(iter(wrong.values())), suspects=tuple(wrong))
        return [(None, texts)]

    def _text(self, row: Row) -> object:
        if isinstance(row, Mapping):
            return row.get(self.names[0]) if self.names else next(iter(row.values())) if len(row) == 1 else dict(row)
        return row[0] if isinstance(row, list | tuple) and len(row) == 1 else row


class Dicts(FeatureMatrix):
    """Hands rows on as objects by name, for a model that makes its own columns of them."""

    def pieces(self, rows: Sequence[Row]) -> list[Piece]:
        """One list of n objects.

        Raises:
            PredictionError: Rows are no objects; its suspects are exactly those rows.
        """
        wrong = tuple(position for position, row in enumerate(rows) if not isinstance(row, Mapping))
        if wrong:
            raise PredictionError("The model reads objects by name, and the row is none.", suspects=wrong)
        return [(None, list(rows))]


def number(value: object) -> float:
    """A value as a number; what is null is not a number.

    Raises:
        TypeError, ValueError, OverflowError: It cannot be one.
    """
    return np.nan if value is None else float(value)  # type: ignore[arg-type]


def _cell(column: Column) -> Callable[[object], object]:
    if column.type == "number":
        return number
    missing = None if column.none else np.nan
    return lambda value: missing if value is None else value


def _picker(names: tuple[str, ...]) -> Callable[[Any], tuple[object, ...]]:
    if len(names) == 1:
        only = names[0]
        return lambda row: (row[only],)
    return itemgetter(*names)
