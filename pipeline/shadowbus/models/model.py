"""What every kind of model looks like to shadowbus: rows in, answers out.

In: a batch of n rows as they were captured. Out: n predictions, and n scores when the model has them. Guaranteed:
answers are complete and finite, or `PredictionError` is raised for the batch; which rows are guilty is found by asking
for less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shadowbus.errors import ShadowbusError

Row = Mapping[str, object] | Sequence[object]
"""One request's features: values by name, or a list in the order the model was trained on."""


class PredictionError(ShadowbusError):
    """The model could not answer this batch: ask for the others without the suspects, then for each suspect alone.

    Attributes:
        suspects: Positions in the batch of the rows that are probably guilty; empty when any row may be.
    """

    def __init__(self, message: str, suspects: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.suspects = tuple(suspects)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says about a batch of n rows.

    Attributes:
        predictions: n JSON values: a number, text or truth value each, or a list for a model with several outputs.
        scores: n lists of class probabilities (for classes 0, 1, 2, …), or n objects of probabilities by class as
            text, or None when the model has none.
        missing: n tuples of the features each row lacks, or None when no row lacks any.
    """

    predictions: list[object]
    scores: list[list[float]] | list[dict[str, float]] | None
    missing: list[tuple[str, ...]] | None = None


class Model(Protocol):
    """A loaded model. Only ever asked from one thread at a time."""

    @property
    def model(self) -> str:
        """The model's full name, `name@version`."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The features it reads, in order, or None when it takes lists only."""
        ...

    def predict(self, rows: Sequence[Row]) -> Predictions:
        """Answer a batch.

        Args:
            rows: n rows (n may be 0). Features the model does not know are ignored; one that is absent or null counts
                as not a number, and it is the model's business whether it can live with that.

        Raises:
            PredictionError: When the model raises, answers in the wrong shape, or answers with something that is not
                finite; the batch has no answers then.
        """
        ...

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        """Which features each row lacks (absent or null).

        Args:
            rows: n rows.

        Returns:
            n tuples of names (positions as text when the model has no names), or None when no row lacks any.
        """
        ...


@runtime_checkable
class MatrixModel(Model, Protocol):
    """A model that may also be asked with a matrix, which saves building it from rows."""

    @property
    def reads_matrix(self) -> bool:
        """Whether this one reads numbers only, each in its place."""
        ...

    @property
    def width(self) -> int | None:
        """How many features it reads, if it knows."""
        ...

    def predict_matrix(self, matrix: NDArray[np.float64]) -> Predictions:
        """Answer a batch of n rows of k numbers in training order, not-a-number where one is absent.

        Returns:
            The answers, which say nothing of what is missing.

        Raises:
            PredictionError: As `predict`.
        """
        ...
