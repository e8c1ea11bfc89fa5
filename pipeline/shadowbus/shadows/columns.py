"""What an estimator expects of its columns: names, texts, or plain numbers.

In: a fitted estimator, with all the estimators inside it. Out: yes or no. Decided once when a model is loaded, because
to look at every value of every row would cost more than many models do.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.compose import ColumnTransformer


def finds_columns_by_name(estimator: object) -> bool:
    """Whether some step picks its columns by name (or by type), and so needs a data frame."""
    return any(
        isinstance(part, ColumnTransformer) and any(_by_name(columns) for _, _, columns in part.transformers)
        for part in parts(estimator)
    )


def takes_text(estimator: object) -> bool:
    """Whether some encoder inside was fitted on texts, so that "7" must stay text and not become a number."""
    return any(
        getattr(categories, "dtype", None) is not None and categories.dtype.kind in "OUS"
        for part in parts(estimator)
        for categories in _categories(part)
    )


def parts(estimator: object) -> Iterator[object]:
    """The estimator and every fitted estimator within it, each once."""
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, list | tuple):
            waiting.extend(found)
        elif isinstance(found, Mapping):
            waiting.extend(found.values())
        elif hasattr(found, "get_params") and not isinstance(found, type):
            yield found
            waiting.extend(value for value in vars(found).values() if _may_hold_parts(value))


def _may_hold_parts(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping) or hasattr(value, "get_params")


def _by_name(columns: Any) -> bool:
    if isinstance(columns, str) or callable(columns):
        return True
    return isinstance(columns, list | tuple) and any(isinstance(column, str) for column in columns)


def _categories(part: object) -> list[Any]:
    found = getattr(part, "categories_", None)
    return list(found) if isinstance(found, list | tuple) else []
