"""What a fitted estimator was fitted with, as far as it tells.

In: a fitted estimator, with all the estimators inside it. Out: the container and the type of each column. Decided once,
when a bundle is made: never from the rows of a batch, or a row's answer would depend on its neighbours.

An estimator keeps no types of its columns. What tells them are the categories of its encoders, what its imputers were
fitted on, the selectors of its column transformers, and what LightGBM wrote down. Where only somebody's own code reads
a column, its type is unknown; a sample of rows tells (`sample.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from shadowbus.errors import BundleError
from shadowbus.models.input_schema import Column, Container, InputSchema, Type
from shadowbus.models.sklearn.loading import feature_names

_VECTORIZERS = (CountVectorizer, HashingVectorizer)
_OF_NAMES = (DictVectorizer, FeatureHasher)
_KEEP_COLUMNS = (SimpleImputer, KNNImputer, StandardScaler, MinMaxScaler, RobustScaler, MaxAbsScaler)
"""Steps whose output has the columns of their input: what the next step says is said of those."""
_KEPT_ROWS = ("_fit_X", "X_fit_", "X_", "support_vectors_")
_KNOWN_PACKAGES = frozenset({"sklearn", "numpy", "scipy", "lightgbm", "xgboost", "catboost"})
_SELECTED: Mapping[object, Type] = {
    "datetime": "datetime",
    "datetime64": "datetime",
    "bool": "boolean",
    bool: "boolean",
}


def fitted_with(estimator: object, names: Sequence[str] | None = None) -> InputSchema:
    """The input an estimator was fitted with.

    Args:
        estimator: A fitted estimator.
        names: The features in training order, where somebody has named them.

    Raises:
        BundleError: Its columns cannot be told from one another, or have changed since it wrote them down.
    """
    own = feature_names(estimator)
    known = tuple(names) if names else own
    container = _without_columns(estimator)
    if container is not None:
        return InputSchema(container, None if known is None else tuple(Column(name, "text") for name in known))
    width = len(known) if known else getattr(estimator, "n_features_in_", None)
    if width is None:
        return InputSchema()
    columns = _columns(estimator, int(width), own or known, framed=own is not None)
    named = tuple(replace(column, name=known[at] if known else None) for at, column in enumerate(columns))
    by_name = _needs_frame(estimator)
    if by_name and known is None:
        raise BundleError(
            "The model finds its columns by name and does not say all their names; give them in training order with "
            "--features A,B,C."
        )
    container = _container(named, by_name=by_name, framed=own is not None)
    return InputSchema("sparse" if container == "numbers" and _keeps_sparse(estimator) else container, named)


def parts(estimator: object) -> Iterator[object]:
    """The estimator and every estimator within it, each once."""
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        found = waiting.pop()
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting.extend(_inside(found))


def packages_of(estimator: object) -> set[str]:
    """The distributions that an estimator's parts come from."""
    own = {type(part).__module__.partition(".")[0] for part in parts(estimator)}
    return {owner for package in own for owner in _owners().get(package, ())}


@cache
def _owners() -> Mapping[str, Sequence[str]]:
    """Which distributions bring a package. Asked once: it reads all that is installed, for a quarter of a second."""
    return packages_distributions()


def _container(columns: Sequence[Column], *, by_name: bool, framed: bool) -> Container:
    kinds = {column.type for column in columns}
    if by_name or (framed and kinds != {"number"}):
        return "frame"
    return "numbers" if kinds <= {"number", "boolean", "unknown"} else "objects"


def _keeps_sparse(estimator: object) -> bool:
    """Whether some part holds rows it was fitted with as a sparse matrix."""
    return any(
        hasattr(part, "get_params") and any(issparse(getattr(part, rows, None)) for rows in _KEPT_ROWS)
        for part in parts(estimator)
    )


def _needs_frame(estimator: object) -> bool:
    """Whether some step picks its columns by name or type, or hands on a data frame to one that may."""
    for part in parts(estimator):
        if isinstance(part, ColumnTransformer) and any(_by_name(columns) for _, _, columns in part.transformers):
            return True
        if getattr(part, "_sklearn_output_config", {}).get("transform") in ("pandas", "polars"):
            return True
    return False


def _by_name(columns: Any) -> bool:
    if isinstance(columns, str) or callable(columns):
        return True
    return isinstance(columns, list | tuple) and any(isinstance(column, str) for column in columns)


def _without_columns(estimator: object) -> Container | None:
    """The container of a model that reads one text, or names with values, and so has no columns."""
    for step in _first_steps(estimator):
        if isinstance(step, _VECTORIZERS):
            return "texts"
        if isinstance(step, DictVectorizer) or (isinstance(step, FeatureHasher) and step.input_type == "dict"):
            return "dicts"
    return None


def _first_steps(part: Any) -> Iterator[object]:
    """What reads the rows first, through pipelines, searches and ensembles; somebody's own function is passed by."""
    if isinstance(part, Pipeline):
        steps = [step for _, step in part.steps if step not in (None, "passthrough")]
        yield from _first_steps(next((step for step in steps if not isinstance(step, FunctionTransformer)), None))
    elif isinstance(part, FeatureUnion):
        for _, step in part.transformer_list:
            yield from _first_steps(step)
    elif part is not None and not isinstance(part, ColumnTransformer):
        yield part
        for inner in _inside(part):
            yield from _first_steps(inner)


def _columns(estimator: object, width: int, names: Sequence[str] | None, *, framed: bool) -> list[Column]:
    """What is known of each column; a number where nothing else is said. A matrix has one type for all it holds."""
    known: dict[int, Column] = {}
    foreign: set[int] = set()
    for part, places in _readers(estimator, range(width), names):
        for place, said in zip(places, _said_by(part, len(places)), strict=False):
            before = known.get(place)
            if said is not None and (before is None or before.type == "object"):
                known[place] = said if before is None else replace(said, none=said.none or before.none)
        if framed and _is_foreign(part):
            foreign.update(places)
    return [known.get(place) or Column(type="unknown" if place in foreign else "number") for place in range(width)]


def _readers(part: Any, places: Sequence[int], names: Sequence[str] | None) -> Iterator[tuple[Any, Sequence[int]]]:
    """Every part that reads columns as they came, with the places of those columns."""
    if isinstance(part, Pipeline):
        yield from _readers_along([step for _, step in part.steps if step not in (None, "passthrough")], places, names)
    elif isinstance(part, ColumnTransformer):
        yield from _readers_across(part, places, names)
    elif isinstance(part, FeatureUnion):
        for _, step in part.transformer_list:
            yield from _readers(step, places, names)
    else:
        yield part, places
        for inner in _inside(part):
            if getattr(inner, "n_features_in_", None) == len(places):
                yield from _readers(inner, places, names)


def _readers_along(
    steps: Sequence[Any], places: Sequence[int], names: Sequence[str] | None
) -> Iterator[tuple[Any, Sequence[int]]]:
    for step in steps:
        if getattr(step, "n_features_in_", len(places)) != len(places):
            return
        yield from _readers(step, places, names)
        if not isinstance(step, _KEEP_COLUMNS):
            return


def _readers_across(
    part: ColumnTransformer, places: Sequence[int], names: Sequence[str] | None
) -> Iterator[tuple[Any, Sequence[int]]]:
    own = feature_names(part) or names
    for (_, _, asked), (_, fitted, columns) in zip(part.transformers, part.transformers_, strict=False):
        held = _places(columns, own, places)
        yield asked, held
        if not isinstance(fitted, str):
            yield from _readers(fitted, held, None)


def _places(columns: Any, names: Sequence[str] | None, places: Sequence[int]) -> list[int]:
    """Where the columns are that a column transformer names by text, number, slice or mask."""
    if isinstance(columns, str | int | np.integer):
        columns = [columns]
    if isinstance(columns, slice):
        start, stop = (
            names.index(end) if names and isinstance(end, str) else end for end in (columns.start, columns.stop)
        )
        return list(places[start : stop + 1 if isinstance(columns.stop, str) else stop : columns.step])
    chosen = np.asarray(columns)
    if chosen.dtype == bool:
        return [place for place, taken in zip(places, chosen, strict=True) if taken]
    if chosen.dtype.kind in "OUS":
        return [places[list(names or ()).index(str(name))] for name in chosen]
    return [places[int(at)] for at in chosen]


def _inside(part: object) -> Iterator[Any]:
    """The estimators that a part, list or mapping holds."""
    if isinstance(part, Mapping):
        values: Any = part.values()
    elif isinstance(part, list | tuple | np.ndarray):
        values = part if not isinstance(part, np.ndarray) or part.dtype == object else ()
    elif hasattr(part, "get_params") and not isinstance(part, type):
        values = vars(part).values()
    else:
        return
    for value in np.ravel(values) if isinstance(values, np.ndarray) else values:
        value = value if hasattr(value, "get_params") else getattr(value, "estimator", value)  # a calibrated one's own
        if hasattr(value, "get_params") and not isinstance(value, type):
            yield value
        elif isinstance(value, list | tuple | Mapping | np.ndarray) and not isinstance(part, np.ndarray):
            yield from _inside(value)


def _is_foreign(part: object) -> bool:
    """Whether code that nobody here knows reads the columns."""
    if not hasattr(part, "get_params"):
        return False
    own = getattr(part, "func", None) if isinstance(part, FunctionTransformer) else type(part)
    own = getattr(own, "func", own)  # a partial's
    return own is not None and str(getattr(own, "__module__", "")).partition(".")[0] not in _KNOWN_PACKAGES


def _said_by(part: Any, count: int) -> Sequence[Column | None]:
    """What one part says of the columns it reads."""
    categories = getattr(part, "categories_", None)
    if isinstance(categories, list | tuple) and len(categories) == count:
        return [_described(np.asarray(one)) for one in categories]
    if isinstance(part, _VECTORIZERS):
        return [Column(type="text")] * count
    if isinstance(part, SimpleImputer) and (part._fit_dtype.kind in "OUS" or part.missing_values is None):
        return [Column(type="object", none=part.missing_values is None)] * count
    kind = _selected(getattr(part, "dtype_include", None))
    if kind is not None:
        return [Column(type=kind)] * count
    if type(part).__module__.startswith("lightgbm") and hasattr(part, "booster_"):
        return _of_lightgbm(part, count)
    return [None] * count


def _described(categories: NDArray[Any]) -> Column:
    """The column whose values an encoder knows by these categories."""
    if categories.dtype.kind == "b":
        return Column(type="boolean")
    if categories.dtype.kind == "M":
        return Column(type="datetime", dtype=str(categories.dtype))
    if categories.dtype.kind not in "OUS":
        return Column()
    there = [value for value in categories.tolist() if value is not None and value == value]
    only_none = len(there) < len(categories) and any(value is None for value in categories.tolist())
    only_none = only_none and all(value == value for value in categories.tolist())
    return Column(type="text" if all(isinstance(value, str) for value in there) else "object", none=only_none)


def _selected(include: Any) -> Type | None:
    if isinstance(include, list | tuple):
        kinds = {_selected(one) for one in include}
        return kinds.pop() if len(kinds) == 1 else None
    try:
        return _SELECTED.get(include)
    except TypeError:
        return None


def _of_lightgbm(part: Any, count: int) -> Sequence[Column | None]:
    """Which columns were categories in the data frame that LightGBM was fitted with, and which values they had.

    Its `pandas_categorical` has the values without the columns' names; a column of categories is one whose line among
    the `feature_infos` is no range, such as "-1:0:2" where others have "[-3.5:2]".
    """
    lists = part.booster_.pandas_categorical or []
    if not lists:
        return [None] * count
    text = part.booster_.model_to_string(num_iteration=1)
    line = next(line for line in text.splitlines() if line.startswith("feature_infos="))
    infos = line.partition("=")[2].split(" ")
    where = [at for at, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if len(where) != len(lists) or len(infos) != count:
        raise BundleError(
            f"LightGBM was fitted with {len(lists)} category columns and does not say which they are; give some rows "
            "of the training data with their types: --sample rows.parquet."
        )
    found: list[Column | None] = [None] * count
    for at, values in zip(where, lists, strict=True):
        found[at] = Column(type="category", categories=tuple(values))
    return found
