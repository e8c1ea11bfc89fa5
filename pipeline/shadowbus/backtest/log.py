"""One file, read as records of one or several topics."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shadowbus.backtest.batch import BadRow, Batch, Table
from shadowbus.backtest.converting import Converter, Wire, mapped_labels, mapped_predictions, mapped_requests
from shadowbus.backtest.lines_table import first_line
from shadowbus.backtest.mapping import Answer, Mapping
from shadowbus.backtest.opening import JSON_LINES, kind_of, open_lines, open_table
from shadowbus.errors import ShadowbusError
from shadowbus.settings.backtest import BacktestSettings
from shadowbus.stage import Slice

SetAside = Callable[[Path, str, BadRow], None]
"""Told of each bad row: the file, the topic ("" for all of them), and the row."""

_WIRE = {"predictions": ("model", "prediction"), "labels": ("label",)}


class Log:
    """A file and the topics that are in it.

    Args:
        path: The file.
        topics: What it is read for: `requests`, `predictions`, `labels`.
        columns: Which column is what, where it is not in the wire format.
        shadow: The model's name where these are a shadow's predictions.

    Raises:
        ShadowbusError: It is not there or cannot be read.
        SettingsError: It lacks a column.
    """

    def __init__(self, path: Path, topics: Sequence[str], columns: BacktestSettings, shadow: str = "") -> None:
        self.path, self.topics, self.at_end, self.out_of_order = path, tuple(topics), False, 0
        self.newest_ms = dict.fromkeys(topics, 0)
        kind = kind_of(path)
        wire = wire_topics(path, topics, columns) if kind in JSON_LINES else ()
        self.table: Table = open_table(path, parsed=set(wire) != set(topics))
        try:
            mapping = Mapping(columns, path, self.table.names)
            self.converters: dict[str, Converter] = {
                topic: Wire(topic) if topic in wire else _mapped(topic, mapping, shadow) for topic in topics
            }
        except BaseException:
            self.table.close()
            raise
        self._batches: Iterator[Batch] | None = None

    def take(self, rows: int, set_aside: SetAside, patience_ms: int) -> list[Slice]:
        """The next rows as records, one slice for each topic; none at the end.

        Args:
            rows: How many rows, the same at every call.
            set_aside: Where bad rows go.
            patience_ms: A record that is older than one before it by more than this is counted as out of order.
        """
        if self._batches is None:
            self._batches = self.table.batches(rows)
        for batch in self._batches:
            for bad in batch.bad:
                set_aside(self.path, "", bad)
            if slices := list(self._records(batch, set_aside)):
                for piece in slices:
                    self._look_at_times(piece, patience_ms)
                return slices
        self.at_end = True
        return []

    def _records(self, batch: Batch, set_aside: SetAside) -> Iterator[Slice]:
        for topic, converter in self.converters.items():
            piece, rejected = converter.records(batch)
            for bad in rejected:
                set_aside(self.path, topic, bad)
            if piece.offsets:
                yield piece

    def _look_at_times(self, piece: Slice, patience_ms: int) -> None:
        newest = max(self.newest_ms[piece.topic], max(piece.timestamps))
        if min(piece.timestamps) < newest - patience_ms and piece.topic != "labels":
            before = self.newest_ms[piece.topic]
            for at_ms in piece.timestamps:
                before = max(before, at_ms)
                self.out_of_order += at_ms < before - patience_ms
        self.newest_ms[piece.topic] = newest

    def close(self) -> None:
        """Let go of the file."""
        self.table.close()


def wire_topics(path: Path, topics: Sequence[str], columns: BacktestSettings) -> tuple[str, ...]:
    """The topics whose records the first line of a file of JSON lines is.

    Raises:
        ShadowbusError: The file is not there or cannot be read.
    """
    with open_lines(path) as lines:
        first = first_line(lines)
    return tuple(topic for topic in topics if "request_id" in first and _is_wire(topic, first, columns))


def _is_wire(topic: str, first: dict[str, object], columns: BacktestSettings) -> bool:
    if topic == "requests":
        return isinstance(first.get("features"), dict | list)
    if topic == "labels" and columns.label_timestamp in first:
        return False
    return all(name in first for name in _WIRE[topic])


def _mapped(topic: str, mapping: Mapping, shadow: str) -> Converter:
    if topic == "requests":
        mapping.need_for_requests()
        return mapped_requests(mapping, mapping.names)
    if topic == "labels":
        mapping.need_for_labels()
        return mapped_labels(mapping)
    if topic != "predictions":
        raise ShadowbusError(f"There are no {topic} in files.")
    answer = Answer.shadow(mapping.settings, shadow) if shadow else Answer.live(mapping.settings)
    mapping.need_for_answers(answer)
    return mapped_predictions(mapping, answer)
