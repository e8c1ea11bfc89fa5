"""Finds the rows that make a model raise: a batch that raises is halved until these rows are alone.

In: rows and their features. Out: the answers of all other rows, in any order, and an error text for each row that
raises. Guaranteed: no row is asked again once it was answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shadowbus.models.model import Model, Predictions
from shadowbus.replay.model.child.error_text import error_text


@dataclass(slots=True)
class BatchResult:
    """What was found of a batch so far: `raised` is what a part of several rows said, `largest` a part that did not."""

    advice: str
    predictions: list[Any] = field(default_factory=list)
    scores: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    missing: dict[int, tuple[str, ...]] = field(default_factory=dict)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    raised: str = ""
    largest: int = 1
    unknown: int = 0

    def sort(self) -> None:
        """Put the rows back in order, after suspects were asked apart from the others."""
        order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
        self.predictions = [self.predictions[i] for i in order]
        self.scores = [self.scores[i] for i in order]
        self.rows = [self.rows[i] for i in order]

    def fail(self, model: Model, row: int, features: Any, problem: str) -> None:
        """A row that was alone raised."""
        self.failed[row] = ("shadow_error", problem)
        try:
            self.missing[row] = (model.missing([features]) or [()])[0]
        except BaseException:
            self.unknown += 1


def predict_in_parts(model: Model, rows: list[int], features: list[Any], done: BatchResult) -> None:
    """Predict a batch; where it raises, its parts, down to the single rows that raise."""
    try:
        found = model.predict(features)
        check(found, len(rows))
    except BaseException as error:
        if len(rows) == 1:
            done.fail(model, rows[0], features[0], error_text(error, done.advice))
            return
        done.raised = done.raised or error_text(error, done.advice)
        for part in _parts(len(rows), getattr(error, "suspects", ())):
            predict_in_parts(model, [rows[i] for i in part], [features[i] for i in part], done)
        return
    done.rows += rows
    done.predictions += found.predictions
    done.scores += found.scores if found.scores is not None else [None] * len(rows)
    done.largest = max(done.largest, len(rows))
    if found.missing is not None:
        done.missing.update(zip(rows, found.missing, strict=True))


def check(found: Predictions, rows: int) -> None:
    """Whether answers are what a comparison can hold, one for each row."""
    if len(found.predictions) != rows:
        raise ValueError(f"{rows} rows gave {len(found.predictions)} predictions")
    if None in found.predictions:
        raise ValueError("a prediction is null")
    orjson.dumps((found.predictions, found.scores), option=orjson.OPT_NON_STR_KEYS)


def _parts(count: int, suspects: Sequence[int]) -> list[Sequence[int]]:
    """How to split a batch that raised: the suspects alone and the others together, or in halves."""
    if 0 < len(suspects) < count:
        others = sorted(set(range(count)).difference(suspects))
        return [others, *([suspect] for suspect in suspects)]
    return [range(count // 2), range(count // 2, count)]
