"""Which column is what, from `[backtest]`. Pure."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from shadowbus.backtest.batch import Batch
from shadowbus.backtest.moments import moments_of
from shadowbus.errors import SettingsError
from shadowbus.settings.backtest import BacktestSettings

_DEFAULTS = BacktestSettings()


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
    """

    def __init__(self, settings: BacktestSettings, path: Path, names: tuple[str, ...] | None) -> None:
        self.settings, self.path, self.names = settings, path, names
        self._text = frozenset(settings.text)

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
                    raise SettingsError(
                        f"{self.path} has no column {name!r}, which is what 'backtest.{setting}' names; {hint}"
                    )

    def need_for_all(self) -> None:
        """The columns that every file needs."""
        self.need(request_id=self.settings.request_id, timestamp=self.settings.timestamp)

    def need_for_requests(self) -> None:
        """Those of requests."""
        self.need_for_all()
        self.need(features=self.settings.features, segments=self.settings.segments)

    def need_for_answers(self, answer: Answer) -> None:
        """Those of predictions. What a setting names by default may be absent."""
        self.need_for_all()
        self.need(prediction=answer.prediction, scores=answer.scores)
        for setting in ("model_column", "latency", "error"):
            if (name := getattr(answer, setting)) != getattr(_DEFAULTS, setting):
                self.need(**{setting: name})

    def need_for_labels(self) -> None:
        """Those of labels."""
        self.need_for_all()
        self.need(label=self.settings.label, label_timestamp=self.settings.label_timestamp)

    def feature_names(self, names: Iterable[str]) -> list[str]:
        """The features: those named, else every column that is named for nothing else."""
        one = self.settings
        if one.features:
            return list(one.features)
        named = {one.request_id, one.timestamp, one.model_column, one.prediction, one.latency, one.error, one.label}
        named |= {one.label_timestamp, one.label_probability, one.shadow_prediction, one.shadow_latency}
        named |= {one.shadow_error, *one.scores, *one.shadow_scores, *one.segments, *one.ignore}
        return [name for name in names if name not in named]

    def values(self, batch: Batch, name: str) -> list[Any]:
        """N values of a column."""
        return batch.values(name, text=name in self._text)

    def ids(self, batch: Batch) -> Sequence[str | None]:
        """N request ids; the lines where no column has them."""
        if not self.settings.request_id:
            return list(map(str, batch.lines))
        return list(map(_id, batch.values(self.settings.request_id, text=True)))

    def times(self, batch: Batch) -> Sequence[int | None]:
        """N times; the lines, in milliseconds, where no column has them."""
        if not self.settings.timestamp:
            return batch.lines
        return self._moments(batch, self.settings.timestamp)

    def label_times(self, batch: Batch) -> Sequence[int | None]:
        """N times of labels: those of the rows unless a column has them."""
        name = self.settings.label_timestamp
        return self._moments(batch, name) if name else self.times(batch)

    def scores(self, batch: Batch, names: tuple[str, ...]) -> Iterable[Any]:
        """N scores: a column of lists or objects, or one column for each class. None where one is missing."""
        columns = [self.values(batch, name) for name in names]
        if not columns:
            return repeat(None)
        if len(columns) == 1 and not self.settings.classes:
            return [value if isinstance(value, list | dict) else _whole((value,)) for value in columns[0]]
        rows = list(map(_whole, zip(*columns, strict=True)))
        classes = self.settings.classes
        return [dict(zip(classes, row, strict=True)) if row and classes else row for row in rows]

    def models(self, batch: Batch, answer: Answer) -> Iterable[str]:
        """N models' names."""
        if answer.model_column not in batch.columns:
            return repeat(answer.model)
        return [answer.model if found is None else str(found) for found in batch.values(answer.model_column, text=True)]

    def _moments(self, batch: Batch, name: str) -> list[int | None]:
        return moments_of(batch.values(name), self.settings.timestamp_unit)


def _whole(row: Sequence[Any]) -> list[Any] | None:
    return None if None in row else list(row)


def _id(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or value == "" or isinstance(value, bool) else str(value)
