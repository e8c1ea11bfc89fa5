"""The scores of one side of many outcomes as columns: what it thought of the label, of the event, of its own answer.

Scores of one shape (lists of one length, objects with the same keys) are read as one matrix. Scores that
`distribution.py` does not take for probabilities are NaN here as well.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.compare.class_name import class_name
from shadowbus.compare.distribution import SLACK

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Columns for n answers; NaN where there are no probabilities, or where the label is none of their classes.

    Attributes:
        label: The probability given to the label.
        squared: The squared error: of two classes that of the event's probability, of more the sum over the classes.
        event: The probability of the event, the class whose name sorts last; NaN unless there are two classes.
        score: The probability of the event; with more than two classes, of the class that was answered.
        came: 1 where the event, or the answer, came true, else 0.
    """

    label: Floats
    squared: Floats
    event: Floats
    score: Floats
    came: Floats

    @classmethod
    def of(cls, scores: Sequence[Any], labels: Sequence[str | None], answers: Sequence[str | None]) -> Self:
        """The columns for n answers.

        Args:
            scores: As they came from JSON.
            labels: The n labels, as `class_name` writes them.
            answers: The n answers, written so too.
        """
        columns = np.full((5, len(scores)), np.nan)
        shapes: dict[object, list[int]] = {}
        for at, one in enumerate(scores):
            if one.__class__ is list or one.__class__ is dict:
                shapes.setdefault(len(one) if one.__class__ is list else tuple(one), []).append(at)
        for shape, rows in shapes.items():
            names = _names(shape)
            if names is not None and len(names) > 1:
                table = _table([scores[row] if shape.__class__ is int else scores[row].values() for row in rows])
                labelled = _positions(names, [labels[row] for row in rows])
                answered = _positions(names, [answers[row] for row in rows])
                columns[:, rows] = _columns(table, names, labelled, answered)
        return cls(*columns)


def _columns(table: Floats, names: list[str], labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Floats:
    with np.errstate(invalid="ignore"):
        good = (np.abs(table.sum(axis=1) - 1) <= SLACK) & (table.min(axis=1) >= 0) & (labels >= 0)
    every = np.arange(len(table))
    label = np.where(good, table[every, labels], np.nan)
    if len(names) == 2:
        event = names.index(max(names))
        score, came = np.where(good, table[:, event], np.nan), (labels == event).astype(np.float64)
        return np.stack((label, (score - came) ** 2, score, score, came))
    squared = (table**2).sum(axis=1) - 2 * label + 1
    score = np.where(good & (answers >= 0), table[every, answers], np.nan)
    return np.stack((label, squared, np.full(len(table), np.nan), score, (labels == answers).astype(np.float64)))


def _names(shape: Any) -> list[str] | None:
    if shape.__class__ is int:
        return [str(position) for position in range(shape)]
    names = [class_name(key) for key in shape]
    known = [name for name in names if name is not None]
    return known if len(set(known)) == len(names) else None


def _positions(names: list[str], values: list[str | None]) -> NDArray[np.int64]:
    position: dict[str | None, int] = {name: at for at, name in enumerate(names)}
    return np.array([position.get(value, -1) for value in values], np.int64)


def _table(rows: list[Any]) -> Floats:
    """Rows of the same length as a matrix; one that holds anything but numbers is NaN."""
    try:
        return np.frombuffer(array("d", list(chain.from_iterable(rows)))).reshape(len(rows), -1)
    except (TypeError, OverflowError):
        if len(rows) == 1:
            return np.full((1, len(rows[0])), np.nan)
        return np.concatenate([_table([row]) for row in rows])
