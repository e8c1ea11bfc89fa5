"""Models of scikit-learn, and everything that behaves like them (predict, perhaps predict_proba and classes_).

In: a fitted estimator and rows. Out: predictions as plain Python values and, for a classifier with probabilities, a
score per class. Guaranteed: answers have the right shape and are finite, or the batch raises.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from shadowbus.errors import BundleError
from shadowbus.models.adapter import Inspected
from shadowbus.models.bundle import Bundle
from shadowbus.models.input_schema import InputSchema
from shadowbus.models.kinds import MOST_BYTES
from shadowbus.models.manifest import Manifest
from shadowbus.models.model import PredictionError, Predictions, Row
from shadowbus.models.sample import SampleRows, told_by
from shadowbus.models.sklearn.fitted_with import fitted_with, packages_of
from shadowbus.models.sklearn.frames import FeatureFrame
from shadowbus.models.sklearn.loading import check_width, estimators_among, load_estimator
from shadowbus.models.sklearn.matrices import Dicts, FeatureMatrix, ObjectMatrix, Piece, SparseMatrix, Texts

# Classifiers whose predict is the class of the highest probability, so that one call gives both answers. Exact types
# only: a subclass may predict differently, and others do (SVC's probabilities come from a second model;
# NearestCentroid's disagreed with its predictions on 508 of 1,699 rows of digits; these on none).
_PREDICT_THE_LIKELIEST = frozenset(
    {
        DecisionTreeClassifier,
        ExtraTreeClassifier,
        ExtraTreesClassifier,
        GaussianNB,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        KNeighborsClassifier,
        LinearDiscriminantAnalysis,
        LogisticRegression,
        MLPClassifier,
        RandomForestClassifier,
    }
)
_NEAR = 1e-9
"""Probabilities this close are a tie that rounding may have made; the estimator itself then says which class it is."""


class SklearnModel:
    """One estimator, ready to be asked.

    Args:
        model: The model's full name, `name@version`.
        estimator: A fitted estimator.
        feature_names: The features in training order, or None for the estimator's own, if it has any.
        schema: What it was fitted with, or None to take that from the estimator as far as it tells.

    Raises:
        BundleError: When it is not an estimator, the names do not fit it, or it needs pandas and that is absent.
    """

    def __init__(
        self,
        model: str,
        estimator: Any,
        feature_names: Sequence[str] | None = None,
        schema: InputSchema | None = None,
    ) -> None:
        if not callable(getattr(estimator, "predict", None)):
            raise BundleError(
                f"{model} is a {type(estimator).__name__}, which has no predict; bundle a fitted estimator instead."
            )
        schema = schema or fitted_with(estimator, feature_names)
        check_width(estimator, schema.names)
        self.model = model
        self.schema = schema
        self._estimator = estimator
        self._input = _BUILDERS[schema.container](schema, getattr(estimator, "n_features_in_", None))
        self.feature_names = self._input.names
        self._classes = _classes(estimator)
        self._labels = None if self._classes is None else _labels(self._classes)
        self._likeliest = self._classes is not None and type(_last_step(estimator)) in _PREDICT_THE_LIKELIEST

    def predict(self, rows: Sequence[Row]) -> Predictions:
        """Answer a batch of n rows; see `Model.predict`.

        Raises:
            PredictionError: When the estimator raises, or its answers are malformed or not finite.
        """
        if not rows:
            return Predictions([], None if self._classes is None else [])
        pieces = self._input.pieces(rows)
        answers = self._together(pieces, len(rows)) if len(pieces) > 1 else self._asked(pieces[0][1], len(rows))
        return Predictions(answers.predictions, answers.scores, self._input.missing(rows))

    def predict_matrix(self, matrix: NDArray[np.float64]) -> Predictions:
        """Answer a batch of n rows that are in a matrix already; see `MatrixModel.predict_matrix`.

        Raises:
            PredictionError: As `predict`.
        """
        return self._asked(matrix, len(matrix))

    def _together(self, pieces: Sequence[Piece], count: int) -> Predictions:
        """The answers of all pieces, in the order of the batch."""
        predictions: list[object] = [None] * count
        scores: list[Any] = [None] * count
        for places, values in pieces:
            held = places or ()
            try:
                found = self._asked(values, len(held))
            except PredictionError as error:
                guilty = [held[at] for at in error.suspects] or list(held)
                raise PredictionError(str(error), guilty) from error
            for at, place in enumerate(held):
                predictions[place] = found.predictions[at]
                scores[place] = None if found.scores is None else found.scores[at]
        return Predictions(predictions, None if self._classes is None else scores)

    def _asked(self, values: Any, count: int) -> Predictions:
        try:
            with warnings.catch_warnings():
                # Columns were put in the order of the names already; scikit-learn cannot see that.
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
                predictions, probabilities = self._ask(values)
        except Exception as error:  # what an estimator raises is its own affair; here it is one batch's failure
            raise PredictionError(f"{type(error).__name__}: {error}", suspects=_incomplete(values)) from error
        answers = _plain(predictions, count)
        return Predictions(answers, None if probabilities is None else self._scores(probabilities, count))

    @property
    def reads_matrix(self) -> bool:
        """Whether the estimator reads numbers only, each in its place."""
        return self._input.of_numbers

    @property
    def width(self) -> int | None:
        """How many features the estimator reads, if it knows."""
        return self._input.width

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        """The features each row lacks, or None when no row lacks any."""
        return self._input.missing(rows)

    def _ask(self, values: Any) -> tuple[Any, Any]:
        if self._classes is None:
            return self._estimator.predict(values), None
        probabilities = np.asarray(self._estimator.predict_proba(values))
        if not self._likeliest:
            return self._estimator.predict(values), probabilities
        predictions = self._classes[probabilities.argmax(axis=1)]
        tied = (probabilities >= probabilities.max(axis=1, keepdims=True) - _NEAR).sum(axis=1) > 1
        if tied.any():
            predictions[tied] = self._estimator.predict(_chosen(values, tied))
        return predictions, probabilities

    def _scores(self, probabilities: NDArray[Any], count: int) -> list[list[float]] | list[dict[str, float]]:
        width = len(self._classes) if self._classes is not None else 0
        if probabilities.shape != (count, width):
            raise PredictionError(
                f"The model gave probabilities of shape {probabilities.shape} for {count} rows and {width} classes."
            )
        finite = np.isfinite(probabilities).all(axis=1)
        if not finite.all():
            raise PredictionError("The model gave a probability that is not a finite number.", _where_not(finite))
        lists: list[list[float]] = probabilities.tolist()
        if self._labels is None:
            return lists
        return [dict(zip(self._labels, row, strict=True)) for row in lists]


def load(
    bundle: Bundle, *, allow_pickle: bool, trusted: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> SklearnModel:
    """Load a bundle of kind "sklearn".

    Args:
        bundle: The bundle; its hash is checked before anything is loaded.
        allow_pickle: Whether a joblib or pickle file may be opened.
        trusted: More types that skops may build.
        most_bytes: How large the file may become when it is unpacked.

    Raises:
        BundleError: When the file is not the one vouched for, may not be loaded, or is not an estimator.
    """
    trusted = (*trusted, *estimators_among(bundle.manifest.trusted))
    estimator = load_estimator(
        bundle.read(), bundle.manifest.format, allow_pickle=allow_pickle, trusted=trusted, most_bytes=most_bytes
    )
    return SklearnModel(bundle.model, estimator, bundle.features, bundle.manifest.input)


def inspect(manifest: Manifest, data: bytes, sample: SampleRows | None, trusted: Sequence[str]) -> Inspected:
    """Open a saved estimator to find out what it reads; see `Adapter.inspect`.

    Raises:
        BundleError: It cannot be loaded, or its input cannot be built from requests.
    """
    estimator = load_estimator(data, manifest.format, allow_pickle=True, trusted=trusted)
    schema = fitted_with(estimator, manifest.features)
    if sample is not None:
        schema = told_by(sample, schema)
    model = SklearnModel(f"{manifest.name}@{manifest.version}", estimator, schema=schema)
    used = packages_of(estimator) | ({"pandas"} if schema.container == "frame" else set())
    return Inspected(model, schema, used)


_BUILDERS: dict[str, Callable[[InputSchema, int | None], FeatureMatrix]] = {
    "numbers": FeatureMatrix,
    "sparse": SparseMatrix,
    "objects": ObjectMatrix,
    "frame": FeatureFrame,
    "texts": Texts,
    "dicts": Dicts,
}


def _chosen(values: Any, chosen: NDArray[np.bool_]) -> Any:
    if isinstance(values, list):
        return [value for value, taken in zip(values, chosen, strict=True) if taken]
    return values.loc[chosen] if hasattr(values, "loc") else values[chosen]


def _classes(estimator: Any) -> NDArray[Any] | None:
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None
    return classes if hasattr(estimator, "predict_proba") else None


def _labels(classes: NDArray[Any]) -> list[str] | None:
    if classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes))):
        return None
    return [str(label) for label in classes.tolist()]


def _last_step(estimator: Any) -> Any:
    while type(estimator) is Pipeline:
        estimator = estimator.steps[-1][1]
    return estimator


def _plain(predictions: Any, count: int) -> list[object]:
    array = np.asarray(predictions)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) != count:
        raise PredictionError(f"The model answered in shape {array.shape} for {count} rows.")
    if array.dtype.kind not in "biufUO":
        raise PredictionError(f"The model answered with values of type {array.dtype}, which JSON cannot hold.")
    if array.dtype.kind == "f":
        finite = np.isfinite(array).reshape(count, -1).all(axis=1)
        if not finite.all():
            raise PredictionError("The model's prediction is not a finite number.", _where_not(finite))
    plain: list[object] = array.tolist()
    if array.dtype.kind == "O":
        plain = [_unwrapped(value, position) for position, value in enumerate(plain)]
    return plain


def _unwrapped(value: object, position: int) -> object:
    if isinstance(value, list):
        return [_unwrapped(one, position) for one in value]
    bare = value.item() if isinstance(value, np.generic) else value
    if not isinstance(bare, str | bool | int | float) or (isinstance(bare, float) and not np.isfinite(bare)):
        raise PredictionError(
            f"The model's prediction {str(bare)[:40]!r} is not text, true, false or a number.", [position]
        )
    return bare


def _incomplete(values: Any) -> tuple[int, ...]:
    """The rows that lack a value: where an estimator raises, it is most often for them."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy(dtype=object)
    if not isinstance(values, np.ndarray):
        return ()
    if values.dtype == object:
        lacking = np.frompyfunc(lambda value: value is None or value != value, 1, 1)(values).astype(bool)
    else:
        lacking = np.isnan(values)
    return _where_not(~lacking.any(axis=1))


def _where_not(good: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(~good).tolist())
