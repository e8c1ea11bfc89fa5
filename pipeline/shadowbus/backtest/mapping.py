"""Which column is what, from `[backtest]`. Pure."""

import difflib
import re
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from shadowbus.backtest.cells.types import structure
from shadowbus.backtest.files.table import Batch
from shadowbus.errors import Malformed, SettingsError
from shadowbus.settings.backtest import BacktestSettings

_DEFAULTS = BacktestSettings()

_ROW_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""What pandas calls the numbers of rows when it writes or reads them as a column: no feature unless it is listed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The columns of one model's answers; `model` is its name where no column has it."""

    model: str
    model_column: str
    prediction: str
    scores: tuple[str, ...]
    latency: str
    error: str

    @classmethod
    def live(cls, columns: BacktestSettings) -> "Answer":
        """Those of the live model."""
        names = columns.model, columns.model_column, columns.prediction, columns.scores
        return cls(*names, columns.latency, columns.error)

    @classmethod
    def shadow(cls, columns: BacktestSettings, model: str) -> "Answer":
        """Those of a shadow whose predictions were already made: a file of its own may name them as the live model's.

        Args:
            columns: The mapping.
            model: The shadow's model where nothing names it.
        """
        apart = columns.shadow_prediction
        return cls(
            columns.shadow_model or model,
            "" if apart or columns.shadow_model else columns.model_column,
            apart or columns.prediction,
            columns.shadow_scores or (() if apart else columns.scores),
            columns.shadow_latency or ("" if apart else columns.latency),
            columns.shadow_error or ("" if apart else columns.error),
        )


class Mapping:
    """The columns of one file.

    Args:
        settings: Which column is what.
        path: The file, for errors.
        names: Its columns; None where each row has its own.
        sample: Its first rows.
    """

    def __init__(self, settings: BacktestSettings, path: Path, names: tuple[str, ...] | None, sample: Batch) -> None:
        self.settings, self.path, self.names = settings, path, names
        self.seen = names if names is not None else tuple(sample.columns)
        whole = settings.features or ("features",)
        self.features = whole[0] if len(whole) == 1 and _holds(sample, whole[0], dict | list) else ""
        self.segments = "" if settings.segments or not _holds(sample, "segments", dict) else "segments"

    def need(self, **wanted: str | Sequence[str]) -> None:
        """See to it that columns are there, by the setting that names them.

        Raises:
            SettingsError: One is not.
        """
        for setting, columns in wanted.items():
            for name in (columns,) if isinstance(columns, str) else columns:
                if self.names is not None and name and name not in self.names:
                    near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.6)
                    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.names[:50])}."
                    if setting in ("request_id", "timestamp"):
                        hint += f" Where there is none, set 'backtest.{setting}' to \"\"."
                    raise SettingsError(
                        f"{self.path} has no column {name!r}, which is what 'backtest.{setting}' names; {hint}"
                    )

    def need_for_requests(self) -> None:
        """The columns of requests."""
        self.need(request_id=self.settings.request_id, timestamp=self.settings.timestamp)
        self.need(features=self.settings.features, segments=self.settings.segments)

    def need_for_answers(self, answer: Answer) -> None:
        """Those of predictions. What a setting names by default may be absent."""
        self.need(request_id=self.settings.request_id)
        self.need(prediction=answer.prediction, scores=answer.scores)
        for setting in ("model_column", "latency", "error"):
            if (name := getattr(answer, setting)) != getattr(_DEFAULTS, setting):
                self.need(**{setting: name})

    def need_for_labels(self) -> None:
        """Those of labels."""
        self.need(request_id=self.settings.request_id)
        self.need(label=self.settings.label, label_timestamp=self.settings.label_timestamp)

    def time_of(self, topic: str) -> str:
        """The column of a topic's times; "" where the rows are numbered, or have none."""
        name = self.settings.timestamp
        if topic == "labels" and self.settings.label_timestamp:
            name = self.settings.label_timestamp
        return name if topic == "requests" or name in self.seen else ""

    def timeless(self, topic: str) -> bool:
        """Whether records of a topic have no time of their own: they take that of their request."""
        return bool(self.settings.timestamp) and not self.time_of(topic)

    def feature_names(self, names: Iterable[str]) -> list[str]:
        """The features: those named, else every column that is named for nothing else and is no row's number."""
        one = self.settings
        if self.features:
            return [self.features]
        if one.features:
            return list(one.features)
        named = {one.request_id, one.timestamp, one.model_column, one.prediction, one.latency, one.error, one.label, ""}
        named |= {one.label_timestamp, one.label_probability, one.shadow_prediction, one.shadow_latency, self.segments}
        named |= {one.shadow_error, *one.scores, *one.shadow_scores, *one.segments, *one.ignore}
        return [name for name in names if name not in named and not _ROW_INDEX.fullmatch(name)]

    def used(self, topic: str, answer: Answer | None) -> tuple[list[str], frozenset[str]]:
        """The columns that records of a topic are made of, and those of them whose texts name something."""
        one = self.settings
        if topic == "requests":
            return [*self.feature_names(self.seen), *(one.segments or (self.segments,))], frozenset(one.segments)
        if topic == "labels":
            return [one.label, one.label_probability], frozenset({one.label})
        if answer is None:
            return [], frozenset()
        return (
            [answer.prediction, *answer.scores, answer.latency, answer.error, answer.model_column],
            frozenset({answer.prediction, answer.model_column}),
        )

    def times(self, batch: Batch, topic: str) -> Sequence[int | Malformed | None]:
        """N times; the lines, in milliseconds, where no column has them, and 0 where the request has them."""
        if self.timeless(topic):
            return [0] * len(batch.lines)
        name = self.time_of(topic)
        return batch.times[name] if name else batch.lines

    def scores(self, batch: Batch, names: tuple[str, ...]) -> Iterable[Any]:
        """N scores: a column of lists or objects, or one column for each class. None where one is missing."""
        columns = [batch.values(name) for name in names]
        if not columns:
            return repeat(None)
        if len(columns) == 1 and not self.settings.classes:
            return [value if isinstance(value, list | dict) else _whole((value,)) for value in columns[0]]
        rows = list(map(_whole, zip(*columns, strict=True)))
        classes = self.settings.classes
        return [dict(zip(classes, row, strict=True)) if row and classes else row for row in rows]

    def models(self, batch: Batch, answer: Answer) -> Iterable[str]:
        """N models' names."""
        if not answer.model_column or answer.model_column not in batch.columns:
            return repeat(answer.model)
        return [answer.model if found in (None, "") else str(found) for found in batch.values(answer.model_column)]


def _whole(row: Sequence[Any]) -> list[Any] | None:
    return None if None in row else list(row)


def _holds(sample: Batch, name: str, kinds: type | types.UnionType) -> bool:
    """Whether a column holds such values alone."""
    found = [value for value in sample.values(name) if value is not None and value != ""]
    return bool(found) and all(isinstance(value, kinds) or _is_json(value, kinds) for value in found)


def _is_json(value: Any, kinds: type | types.UnionType) -> bool:
    return isinstance(value, str) and isinstance(structure(value), kinds)
