"""Rows become records of a topic: JSON lines in the wire format as they are, all others by the mapping."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

from msgspec import Struct
from msgspec.json import Decoder
from orjson import JSONEncodeError, dumps

from shadowbus.backtest.files.table import BadRow, Batch
from shadowbus.backtest.mapping import Answer, Mapping
from shadowbus.errors import Malformed
from shadowbus.limits import is_time_ms, no_time
from shadowbus.records import VERSION
from shadowbus.records.codec import UNREADABLE
from shadowbus.stage import RecordBatch


class Converter(Protocol):
    """Makes records of one topic."""

    def records(self, batch: Batch) -> tuple[RecordBatch, list[BadRow]]:
        """The records of n rows, at most one for each, and the rows that are none. A record's offset is its line."""
        ...


class _Head(Struct, gc=False):
    request_id: str
    timestamp_ms: int | None = None


_head = Decoder(_Head).decode


def _read_head(value: bytes) -> _Head:
    """The id and the time of a record; its time moves the clock of the backtest, so it has to be one."""
    head = _head(value)
    if head.timestamp_ms is not None and not is_time_ms(head.timestamp_ms):
        raise Malformed(no_time("timestamp_ms", head.timestamp_ms))
    return head


class Wire:
    """Lines that are records already. One without a time takes that of the one before it."""

    def __init__(self, topic: str) -> None:
        self.topic, self.newest_ms = topic, 0

    def records(self, batch: Batch) -> tuple[RecordBatch, list[BadRow]]:
        """Only ids and times are looked at here; the stages read the rest."""
        try:
            heads = list(map(_read_head, batch.raw))
        except (Malformed, *UNREADABLE):
            return self._carefully(batch)
        return self._slice(heads, batch.raw, batch.lines), []

    def _carefully(self, batch: Batch) -> tuple[RecordBatch, list[BadRow]]:
        heads: list[_Head] = []
        raw: list[bytes] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for line, value in zip(batch.lines, batch.raw, strict=True):
            try:
                heads.append(_read_head(value))
            except Malformed as error:
                bad.append(BadRow(line, str(error), value))
            except UNREADABLE as error:
                bad.append(BadRow(line, f"not a record with a 'request_id' and a 'timestamp_ms': {error}", value))
            else:
                raw.append(value)
                lines.append(line)
        return self._slice(heads, raw, lines), bad

    def _slice(self, heads: list[_Head], raw: list[bytes], lines: list[int]) -> RecordBatch:
        times: list[int] = []
        for head in heads:
            self.newest_ms = self.newest_ms if head.timestamp_ms is None else head.timestamp_ms
            times.append(self.newest_ms)
        return RecordBatch(self.topic, 0, [head.request_id.encode() for head in heads], list(raw), times, list(lines))


@dataclass(frozen=True, slots=True)
class Mapped:
    """Rows of any table, by the mapping."""

    topic: str
    mapping: Mapping
    values: Callable[[Batch], Iterator[dict[str, Any] | None]]

    def records(self, batch: Batch) -> tuple[RecordBatch, list[BadRow]]:
        """A row that has no id or no time is bad; one that says nothing of this topic has no record."""
        made, bad = RecordBatch(self.topic, 0), list[BadRow]()
        columns = batch.ids, self.mapping.times(batch, self.topic), self.values(batch)
        for index, (request_id, at_ms, fields) in enumerate(zip(*columns, strict=True)):
            if fields is None:
                continue
            try:
                if request_id is None:
                    raise Malformed(f"there is no request id in column {self.mapping.settings.request_id!r}")
                at_ms = self._time(at_ms)
                value = dumps(
                    {"timestamp_ms": at_ms, "v": VERSION, "request_id": request_id, **fields}, default=_plainly
                )
            except (Malformed, JSONEncodeError) as error:
                key = None if request_id is None else request_id.encode("utf-8", "backslashreplace")
                group = "" if request_id is None else type(error).__name__
                bad.append(BadRow(batch.lines[index], str(error), batch.row(index), key, group))
                continue
            made.keys.append(request_id.encode())
            made.values.append(value)
            made.timestamps.append(at_ms)
            made.offsets.append(batch.lines[index])
        return made, bad

    def _time(self, at_ms: int | Malformed | None) -> int:
        if isinstance(at_ms, Malformed):
            raise at_ms
        if at_ms is None:
            raise Malformed(f"there is no time in column {self.mapping.time_of(self.topic)!r}")
        if not is_time_ms(at_ms):
            raise Malformed(no_time(self.mapping.time_of(self.topic) or "timestamp_ms", at_ms))
        return at_ms


def mapped_requests(mapping: Mapping) -> Mapped:
    """Requests of rows. Where the file has no columns of its own, those of each batch count."""
    settings = mapping.settings

    def features(batch: Batch) -> Iterable[Any]:
        if mapping.features:
            return batch.values(mapping.features)
        wanted = mapping.feature_names(mapping.names if mapping.names is not None else tuple(batch.columns))
        if not wanted:
            return repeat([] if settings.features_as_list else {})
        rows = zip(*map(batch.values, wanted), strict=True)
        return map(list, rows) if settings.features_as_list else (dict(zip(wanted, row, strict=True)) for row in rows)

    def segments(batch: Batch) -> Iterable[dict[str, Any]]:
        if mapping.segments:
            return (found or {} for found in batch.values(mapping.segments))
        names = settings.segments
        rows = zip(*map(batch.values, names), strict=True) if names else repeat(())
        return ({name: part for name, part in zip(names, parts, strict=False) if part is not None} for parts in rows)

    def values(batch: Batch) -> Iterator[dict[str, Any]]:
        for _, row, parts in zip(batch.lines, features(batch), segments(batch), strict=False):
            yield {"features": row, "segments": parts, "context": {}}

    return Mapped("requests", mapping, values)


def mapped_predictions(mapping: Mapping, answer: Answer) -> Mapped:
    """One model's predictions. A row with neither a prediction nor an error has none."""

    def values(batch: Batch) -> Iterator[dict[str, Any] | None]:
        columns = map(batch.values, (answer.prediction, answer.latency, answer.error))
        scores, models = mapping.scores(batch, answer.scores), mapping.models(batch, answer)
        for answered, latency, error, score, model in zip(*columns, scores, models, strict=False):
            prediction = None if answered == "" else answered
            failed = None if error is None or error is False or error == "" else str(error)
            yield (
                None
                if prediction is None and failed is None
                else {
                    "model": model,
                    "prediction": prediction,
                    "scores": score,
                    "latency_ms": latency,
                    "error": failed,
                }
            )

    return Mapped("predictions", mapping, values)


def mapped_labels(mapping: Mapping) -> Mapped:
    """Labels. A row without one has none."""

    def values(batch: Batch) -> Iterator[dict[str, Any] | None]:
        columns = map(batch.values, (mapping.settings.label, mapping.settings.label_probability))
        for label, probability in zip(*columns, strict=True):
            chosen = {} if probability is None else {"probability": probability}
            yield None if label is None or label == "" else {"label": label, **chosen}

    return Mapped("labels", mapping, values)


def _plainly(value: Any) -> Any:
    """What JSON has no word for: a decimal number as a number, a date and whatever else there is as text."""
    if hasattr(value, "as_tuple"):
        return float(value)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
