"""Where a report's records are from: the topics of a namespace, or the folder of a backtest."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shadowbus.clock import Deadline
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.records import Promotion, Verdict, decode
from shadowbus.records.published import read_aggregate, read_verdict
from shadowbus.settings import Settings
from shadowbus.story.history import remember
from shadowbus.story.trial import Told, trials_of
from shadowbus.topology import AGGREGATES, VERDICTS
from shadowbus.trials import acts_in, verdicts_in

MOST_VERDICTS = 5_000
READ_SECONDS = 120.0
Kind = TypeVar("Kind")
Row = tuple[bytes | None, bytes]
"""A key, where there is one, and a value."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of every trial, where from, and which versions the settings run."""

    source: str
    told: list[Told]
    configured: Mapping[str, str] | None = None


def from_topics(settings: Settings) -> Known:
    """The newest aggregates, and the verdicts that Kafka still has.

    Raises:
        BrokerError: A topic is missing, or Kafka does not answer.
    """
    from shadowbus.kafka.read.topic import read_table, read_tail
    from shadowbus.models.configured import configured

    deadline = Deadline.after(READ_SECONDS)
    aggregates = list(_readable(read_aggregate, read_table(settings, AGGREGATES, deadline).items()))
    table = read_table(settings, VERDICTS, deadline)
    earlier = _readable(read_verdict, _unkeyed(read_tail(settings, VERDICTS, MOST_VERDICTS, deadline)))
    newest = _readable(read_verdict, verdicts_in(table).items())
    history = _history(sorted([*earlier, *newest], key=lambda one: one.decided_ms))
    acts = {one.trial: one for one in _readable(_promotion, acts_in(table).items())}
    return Known(f"namespace {settings.namespace}", trials_of(aggregates, history, acts), configured(settings))


def from_backtest(folder: Path) -> Known:
    """The files `aggregates.jsonl`, `verdicts.jsonl` and, where it is there, `looks.jsonl` of a backtest.

    Raises:
        ShadowbusError: One of them cannot be read.
    """
    aggregates = _readable(read_aggregate, _lines(folder, "aggregates"))
    newest = {(one.trial, one.segment, one.window): one for one in aggregates}
    looks = _readable(read_verdict, _lines(folder, "looks")) if (folder / "looks.jsonl").exists() else ()
    history = _history([*looks, *_readable(read_verdict, _lines(folder, "verdicts"))])
    return Known(f"backtest in {folder.name or folder}", trials_of(newest.values(), history))


def _history(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    history: dict[str, list[Verdict]] = {}
    for one in verdicts:
        earlier = history.setdefault(one.trial, [])
        if not earlier or earlier[-1] != one:
            remember(earlier, one)
    return history


def _lines(folder: Path, name: str) -> Iterator[Row]:
    path = folder / f"{name}.jsonl"
    try:
        with path.open("rb") as lines:
            yield from _unkeyed(filter(None, map(bytes.strip, lines)))
    except OSError as error:
        raise ShadowbusError(f"{path} cannot be read ({error.strerror}): is it a folder of a backtest?") from error


def _unkeyed(values: Iterable[bytes]) -> Iterator[Row]:
    return ((None, value) for value in values)


def _promotion(value: bytes, _: bytes | None) -> Promotion:
    return decode(Promotion, value)


def _readable(read: Callable[[bytes, bytes | None], Kind], rows: Iterable[Row]) -> Iterator[Kind]:
    for key, value in rows:
        try:
            yield read(value, key)
        except Malformed:
            continue
