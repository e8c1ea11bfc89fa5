"""Rows become records of a topic: JSON lines in the wire format as they are, all others by the mapping."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

from msgspec import MsgspecError, Struct
from msgspec.json import Decoder
from orjson import JSONEncodeError, dumps

from shadowbus.backtest.batch import BadRow, Batch
from shadowbus.backtest.mapping import Answer, Mapping
from shadowbus.errors import Malformed
from shadowbus.limits import is_time_ms, no_time
from shadowbus.records import VERSION
from shadowbus.stage import Slice


class Converter(Protocol):
    """Makes records of one topic."""

    def records(self, batch: Batch) -> tuple[Slice, list[BadRow]]:
        """The records of n rows, at most one for each, and the rows that are none. A record's offset is its line."""
        ...


class _Head(Struct, gc=False):
    request_id: str
    timestamp_ms: int | None = None


_head = Decoder(_Head).decode
_UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)


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

    def records(self, batch: Batch) -> tuple[Slice, list[BadRow]]:
        """Only ids and times are looked at here; the stages read the rest."""
        try:
            heads = list(map(_read_head, batch.raw))
        except (Malformed, *_UNREADABLE):
            return self._carefully(batch)
        return self._slice(heads, batch.raw, batch.lines), []

    def _carefully(self, batch: Batch) -> tuple[Slice, list[BadRow]]:
        heads: list[_Head] = []
        raw: list[bytes] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for line, value in zip(batch.lines, batch.raw, strict=True):
            try:
                heads.append(_read_head(value))
            except Malformed as error:
                bad.append(BadRow(line, str(error), value))
            except _UNREADABLE as error:
                bad.append(BadRow(line, f"not a record with a 'request_id' and a 'timestamp_ms': {error}", value))
            else:
                raw.append(value)
                lines.append(line)
        return self._slice(heads, raw, lines), bad

    def _slice(self, heads: list[_Head], raw: list[bytes], lines: list[int]) -> Slice:
        times: list[int] = []
        for head in heads:
            self.newest_ms = self.newest_ms if head.timestamp_ms is None else head.timestamp_ms
            times.append(self.newest_ms)
        return Slice(self.topic, 0, [head.request_id.encode() for head in heads], list(raw), times, list(lines))


@dataclass(frozen=True, slots=True)
class Mapped:
    """Rows of any table, by the mapping."""

    topic: str
    values: Callable[[Batch], Iterator[dict[str, Any] | None]]
    times: Callable[[Batch], Sequence[int | None]]
    ids: Callable[[Batch], Sequence[str | None]]

    def records(self, batch: Batch) -> tuple[Slice, list[BadRow]]:
        """A row that has no id or no time is bad; one that says nothing of this topic has no record."""
        made, bad = Slice(self.topic, 0), list[BadRow]()
        columns = self.ids(batch), self.times(batch), self.values(batch)
        for index, (request_id, at_ms, fields) in enumerate(zip(*columns, strict=True)):
            if fields is None:
                continue
            try:
                if request_id is None or at_ms is None:
                    raise Malformed("there is no request id" if request_id is None else "there is no time in it")
                if not is_time_ms(at_ms):
                    raise Malformed(no_time("timestamp_ms", at_ms))
                value = dumps(
                    {"v": VERSION, "request_id": request_id, "timestamp_ms": at_ms, **fields}, default=_plainly
                )
            except (Malformed, JSONEncodeError) as error:
                key = None if request_id is None else request_id.encode("utf-8", "backslashreplace")
                bad.append(BadRow(batch.lines[index], str(error), batch.row(index), key))
                continue
            made.keys.append(request_id.encode())
            made.values.append(value)
            made.timestamps.append(at_ms)
            made.offsets.append(batch.lines[index])
        return made, bad


def mapped_requests(mapping: Mapping, names: tuple[str, ...] | None) -> Mapped:
    """Requests of rows. Where the file has no columns of its own, those of each batch count."""

    def values(batch: Batch) -> Iterator[dict[str, Any]]:
        wanted = mapping.feature_names(names if names is not None else tuple(batch.columns))
        features = zip(*(mapping.values(batch, name) for name in wanted), strict=True) if wanted else repeat(())
        segments = mapping.settings.segments
        slices = zip(*(mapping.values(batch, name) for name in segments), strict=True) if segments else repeat(())
        for _, row, parts in zip(batch.lines, features, slices, strict=False):
            shape = list(row) if mapping.settings.features_as_list else dict(zip(wanted, row, strict=True))
            found = {name: part for name, part in zip(segments, parts, strict=True) if part is not None}
            yield {"features": shape, "segments": found, "context": {}}

    return Mapped("requests", values, mapping.times, mapping.ids)


def mapped_predictions(mapping: Mapping, answer: Answer) -> Mapped:
    """One model's predictions. A row with neither a prediction nor an error has none."""

    def values(batch: Batch) -> Iterator[dict[str, Any] | None]:
        columns = (mapping.values(batch, name) for name in (answer.prediction, answer.latency, answer.error))
        scores, models = mapping.scores(batch, answer.scores), mapping.models(batch, answer)
        for prediction, latency, error, score, model in zip(*columns, scores, models, strict=False):
            failed = None if error is None or error is False else str(error)
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

    return Mapped("predictions", values, mapping.times, mapping.ids)


def mapped_labels(mapping: Mapping) -> Mapped:
    """Labels. A row without one has none."""

    def values(batch: Batch) -> Iterator[dict[str, Any] | None]:
        columns = (mapping.values(batch, name) for name in (mapping.settings.label, mapping.settings.label_probability))
        for label, probability in zip(*columns, strict=True):
            chosen = {} if probability is None else {"probability": probability}
            yield None if label is None else {"label": label, **chosen}

    return Mapped("labels", values, mapping.label_times, mapping.ids)


def _plainly(value: Any) -> Any:
    """What JSON has no word for: a decimal number as a number, a date and whatever else there is as text."""
    if hasattr(value, "as_tuple"):
        return float(value)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
