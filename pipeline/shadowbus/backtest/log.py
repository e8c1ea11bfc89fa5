"""One file, read as records of one or several topics."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shadowbus.backtest.cells.columns import SAMPLE_ROWS, TypedColumns, sample_of
from shadowbus.backtest.converting import Converter, Wire, mapped_labels, mapped_predictions, mapped_requests
from shadowbus.backtest.files.contents import open_lines
from shadowbus.backtest.files.lines_table import first_line
from shadowbus.backtest.files.opening import JSON_LINES, kind_of, open_table
from shadowbus.backtest.files.table import BadRow, Batch, Table
from shadowbus.backtest.mapping import Answer
from shadowbus.backtest.mapping import Mapping as ColumnMapping
from shadowbus.errors import ShadowbusError
from shadowbus.settings.backtest import BacktestSettings
from shadowbus.stage import RecordBatch

_WIRE = {"requests": ("features",), "predictions": ("model", "prediction"), "labels": ("label",)}
_SAID = {
    "requests": ("request_id", "timestamp", "features", "segments"),
    "predictions": ("request_id", "timestamp", "prediction", "model_column", "latency", "error", "scores"),
    "labels": ("request_id", "timestamp", "label", "label_timestamp", "label_probability"),
}
"""The settings that name columns of a topic."""

_DEFAULTS = BacktestSettings()


class Account(Protocol):
    """Told how files are read."""

    def reads(self, path: Path, says: Mapping[str, str]) -> None:
        """How the columns of a file are read."""
        ...

    def took(self, path: Path, topics: Sequence[str], rows: int) -> None:
        """Count rows that were read."""
        ...

    def set_aside(self, path: Path, topic: str, bad: BadRow) -> None:
        """A bad row: the file, the topic ("" for all of them), and the row."""
        ...

    def commonest(self) -> str:
        """The commonest reason of bad rows, in brackets; "" where there are none."""
        ...


class Log:
    """A file and the topics that are in it.

    Args:
        path: The file.
        topics: What it is read for: `requests`, `predictions`, `labels`.
        settings: Which column is what, where it is not in the wire format.
        shadow: The model's name where these are a shadow's predictions.

    Raises:
        ShadowbusError: It is not there or cannot be read.
        SettingsError: It lacks a column, or leaves open how a time is read.
    """

    def __init__(self, path: Path, topics: Sequence[str], settings: BacktestSettings, shadow: str = "") -> None:
        self.path, self.topics, self.at_end, self.out_of_order = path, tuple(topics), False, 0
        self.newest_ms = dict.fromkeys(topics, 0)
        wire = wire_topics(path, topics, settings) if kind_of(path) in JSON_LINES else ()
        self.answer = Answer.shadow(settings, shadow) if shadow else Answer.live(settings)
        mapped = [topic for topic in topics if topic not in wire]
        self.table: Table = open_table(path, settings, parsed=bool(mapped))
        self.timeless: tuple[str, ...] = ()
        self.typed: TypedColumns | None = None
        self.converters: dict[str, Converter] = {topic: Wire(topic) for topic in wire}
        try:
            if mapped:
                self._map(mapped, settings)
        except BaseException:
            self.table.close()
            raise
        self.converters = {topic: self.converters[topic] for topic in topics}
        self._batches: Iterator[Batch] | None = None

    def says(self) -> dict[str, str]:
        """How the file is read, in words, by column."""
        return self.typed.says() if self.typed else {"every line": "a record as capture writes it"}

    def take(self, rows: int, account: Account, patience_ms: int) -> list[RecordBatch]:
        """The next rows as records, one slice for each topic; none at the end.

        Args:
            rows: How many rows, the same at every call.
            account: Told of rows, good and bad.
            patience_ms: A record that is older than one before it by more than this is counted as out of order.
        """
        if self._batches is None:
            account.reads(self.path, self.says())
            self._batches = self.table.batches(rows)
        for batch in self._batches:
            read = self.typed.read(batch) if self.typed else batch
            account.took(self.path, self.topics, len(read.lines) + len(read.bad))
            for bad in read.bad:
                account.set_aside(self.path, "", bad)
            if slices := list(self._records(read, account)):
                for piece in slices:
                    self._look_at_times(piece, patience_ms)
                return slices
        self.at_end = True
        return []

    def _map(self, topics: Sequence[str], settings: BacktestSettings) -> None:
        def mapping_of(sample: Batch) -> ColumnMapping:
            return ColumnMapping(settings, self.path, self.table.names, sample)

        def used_of(mapping: ColumnMapping) -> list[str]:
            used = [name for topic in topics for name in mapping.used(topic, self.answer)[0]]
            return [name for name in dict.fromkeys(used) if name in mapping.seen]

        sample = sample_of(
            lambda: open_table(self.path, settings, parsed=True), lambda first: used_of(mapping_of(first))
        )
        mapping = mapping_of(sample)
        self.converters |= {topic: _mapped(topic, mapping, self.answer) for topic in topics}
        self.timeless = tuple(topic for topic in topics if mapping.timeless(topic))
        names = frozenset[str]().union(*(mapping.used(topic, self.answer)[1] for topic in topics))
        times = list(dict.fromkeys(mapping.time_of(topic) for topic in topics))
        self.typed = TypedColumns(self.path, settings, self.table, sample, used_of(mapping), names, times)

    def _records(self, batch: Batch, account: Account) -> Iterator[RecordBatch]:
        for topic, converter in self.converters.items():
            piece, rejected = converter.records(batch)
            for bad in rejected:
                account.set_aside(self.path, topic, bad)
            if piece.offsets:
                yield piece

    def _look_at_times(self, piece: RecordBatch, patience_ms: int) -> None:
        newest = max(self.newest_ms[piece.topic], max(piece.timestamps))
        if min(piece.timestamps) < newest - patience_ms and piece.topic != "labels":
            before = self.newest_ms[piece.topic]
            for at_ms in piece.timestamps:
                before = max(before, at_ms)
                self.out_of_order += at_ms < before - patience_ms
        self.newest_ms[piece.topic] = newest

    def close(self) -> None:
        """Close the file."""
        self.table.close()


def names_in(path: Path, settings: BacktestSettings) -> tuple[str, ...]:
    """The columns of a file; of JSON lines those of its first rows.

    Raises:
        ShadowbusError: The file is not there or cannot be read.
    """
    table = open_table(path, settings, parsed=True)
    try:
        return table.names if table.names is not None else tuple(next(table.batches(SAMPLE_ROWS), Batch([])).columns)
    finally:
        table.close()


def wire_topics(path: Path, topics: Sequence[str], settings: BacktestSettings) -> tuple[str, ...]:
    """The topics whose records the first line of a file of JSON lines is.

    Raises:
        ShadowbusError: The file is not there or cannot be read.
    """
    with open_lines(path) as lines:
        first = first_line(lines, settings.encoding)
    return tuple(topic for topic in topics if _is_wire(topic, first, settings))


def _is_wire(topic: str, first: Mapping[str, object], settings: BacktestSettings) -> bool:
    """A record with all its fields, and no column that settings name otherwise."""
    if not all(name in first for name in ("request_id", "timestamp_ms", *_WIRE[topic])):
        return False
    if topic == "requests" and not isinstance(first["features"], dict | list):
        return False
    for key in _SAID[topic]:
        named = getattr(settings, key)
        if named != getattr(_DEFAULTS, key) and any(
            name in first for name in ((named,) if isinstance(named, str) else named)
        ):
            return False
    return True


def _mapped(topic: str, mapping: ColumnMapping, answer: Answer) -> Converter:
    if topic == "requests":
        mapping.need_for_requests()
        return mapped_requests(mapping)
    if topic == "labels":
        mapping.need_for_labels()
        return mapped_labels(mapping)
    if topic != "predictions":
        raise ShadowbusError(f"There are no {topic} in files.")
    mapping.need_for_answers(answer)
    return mapped_predictions(mapping, answer)
