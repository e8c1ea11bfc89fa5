"""From captured rows to the matrix a model reads.

In: n rows, as objects by feature name or as lists. Out: n rows of k values in training order. Guaranteed: a value is
never put in another feature's place; what is absent or null becomes not-a-number (None in a matrix of texts).
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowbus.errors import BundleError
from shadowbus.shadows.model import PredictionError, Row

_ODD = (KeyError, TypeError, ValueError, OverflowError)
"""What the quick way raises for a row it cannot read."""


class FeatureMatrix:
    """Builds matrices for one model.

    Args:
        names: The features in training order, or None when rows must be lists.
        width: How many features there are; None takes the first list's length.
        takes_text: Whether the model reads texts, and gets a matrix of objects.
    """

    def __init__(self, names: tuple[str, ...] | None, width: int | None, *, takes_text: bool = False) -> None:
        self.names = names
        self.width = len(names) if names else width
        self._takes_text = takes_text
        self._pick = _picker(names) if names else None

    @property
    def of_numbers(self) -> bool:
        """Whether it is a plain matrix of float64."""
        return not self._takes_text

    def build(self, rows: Sequence[Row]) -> NDArray[Any]:
        """The matrix of n rows, float64 or object.

        Raises:
            PredictionError: When rows cannot be read; its suspects are exactly those rows.
        """
        if not self._takes_text:
            for pick in (self._pick, self._pick_or_none):
                with suppress(*_ODD):
                    return self._quick(rows, pick)
        return self._careful(rows)

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        """The features each row lacks, or None when no row lacks any."""
        if not self._any_lacking(rows):
            return None
        return [self._lacking(row) for row in rows]

    def _any_lacking(self, rows: Sequence[Row]) -> bool:
        kinds = set(map(type, rows))
        try:
            if kinds == {dict} and self._pick is not None:
                return any(None in values for values in map(self._pick, rows))
            if kinds <= {list, tuple} and set(map(len, rows)) <= {self.width or len(rows[0])}:
                return any(None in row for row in rows)
        except KeyError:
            return True
        return True

    def _quick(self, rows: Sequence[Row], pick: Callable[[Any], tuple[object, ...]] | None) -> NDArray[np.float64]:
        # One type check and one length check over the batch, or a list of 29 beside one of 31 would shift values.
        kinds = set(map(type, rows))
        width = self.width
        picked: Any
        if kinds == {dict} and pick is not None:
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

    def _careful(self, rows: Sequence[Row]) -> NDArray[Any]:
        width = self.width or next((len(row) for row in rows if isinstance(row, list | tuple)), 0)
        matrix = np.empty((len(rows), width), dtype=object if self._takes_text else np.float64)
        wrong: dict[int, str] = {}
        for position, row in enumerate(rows):
            try:
                matrix[position] = np.fromiter(self._values(row, width), matrix.dtype, width)
            except _ODD as error:
                wrong[position] = self._blame(row, error)
        if wrong:
            raise PredictionError(next(iter(wrong.values())), suspects=tuple(wrong))
        return matrix

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

    def _blame(self, row: Row, error: Exception) -> str:
        if isinstance(row, Mapping) and self.names is not None:
            for name in self.names:
                try:
                    np.fromiter([row.get(name)], np.float64, 1)
                except _ODD:
                    return f"Feature '{name}' is {str(row.get(name))[:40]!r}, which is not a number."
        return str(error)

    def _lacking(self, row: Row) -> tuple[str, ...]:
        if isinstance(row, Mapping):
            return tuple(name for name in self.names or () if row.get(name) is None)
        if not isinstance(row, list | tuple):
            return self.names or ()
        names = self.names or tuple(map(str, range(self.width or len(row))))
        return tuple(name for position, name in enumerate(names) if position >= len(row) or row[position] is None)


class FeatureFrame(FeatureMatrix):
    """Builds pandas data frames, for a model that finds its columns by name.

    Raises:
        BundleError: When pandas is not installed.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names, None, takes_text=True)
        try:
            self._pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise BundleError(
                "This model finds its columns by name in a data frame, which needs pandas; pip install pandas."
            ) from error

    def build(self, rows: Sequence[Row]) -> Any:
        """A data frame of n rows, each column of the type its values have.

        Raises:
            PredictionError: When rows cannot be read; its suspects are exactly those rows.
        """
        values = super().build(rows)
        return self._pandas.DataFrame(values.tolist(), columns=list(self.names or ()))


def _picker(names: tuple[str, ...]) -> Callable[[Any], tuple[object, ...]]:
    if len(names) == 1:
        only = names[0]
        return lambda row: (row[only],)
    return itemgetter(*names)
