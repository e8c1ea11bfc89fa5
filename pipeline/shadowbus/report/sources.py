"""Where a report's records are from: the topics of a namespace, or the folder of a backtest."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from shadowbus.clock import Deadline
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.records import Aggregate, Promotion, Verdict, decode
from shadowbus.settings import Settings
from shadowbus.story.history import remember
from shadowbus.story.trial import Told, trials_of
from shadowbus.topology import AGGREGATES, VERDICTS

MOST_VERDICTS = 5_000
READ_SECONDS = 120.0
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of every trial, and where from."""

    source: str
    told: list[Told]
    promotions: Mapping[str, Promotion] = field(default_factory=dict)


def from_topics(settings: Settings) -> Known:
    """The newest aggregates, and the verdicts that Kafka still has.

    Raises:
        BrokerError: A topic is missing, or Kafka does not answer.
    """
    from shadowbus.kafka.newest import newest_values
    from shadowbus.kafka.tables import read_table

    deadline = Deadline.after(READ_SECONDS)
    aggregates = list(_readable(Aggregate, read_table(settings, AGGREGATES, deadline).values()))
    table = read_table(settings, VERDICTS, deadline)
    earlier = _readable(Verdict, newest_values(settings, VERDICTS, MOST_VERDICTS, deadline))
    newest = _readable(Verdict, (value for key, value in table.items() if b"|" not in key))
    history = _history(sorted([*earlier, *newest], key=lambda one: one.decided_ms))
    acted = _readable(Promotion, (value for key, value in table.items() if key.endswith(b"|promotion")))
    return Known(f"namespace {settings.namespace}", trials_of(aggregates, history), {one.trial: one for one in acted})


def from_backtest(folder: Path) -> Known:
    """The files `aggregates.jsonl`, `verdicts.jsonl` and, where it is there, `looks.jsonl` of a backtest.

    Raises:
        ShadowbusError: One of them cannot be read.
    """
    newest = {(one.trial, one.segment, one.window): one for one in _readable(Aggregate, _lines(folder, "aggregates"))}
    looks = _readable(Verdict, _lines(folder, "looks")) if (folder / "looks.jsonl").exists() else ()
    history = _history([*looks, *_readable(Verdict, _lines(folder, "verdicts"))])
    return Known(f"backtest in {folder.name or folder}", trials_of(newest.values(), history))


def _history(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    history: dict[str, list[Verdict]] = {}
    for one in verdicts:
        earlier = history.setdefault(one.trial, [])
        if not earlier or earlier[-1] != one:
            remember(earlier, one)
    return history


def _lines(folder: Path, name: str) -> Iterator[bytes]:
    path = folder / f"{name}.jsonl"
    try:
        with path.open("rb") as lines:
            yield from filter(None, map(bytes.strip, lines))
    except OSError as error:
        raise ShadowbusError(f"{path} cannot be read ({error.strerror}): is it a folder of a backtest?") from error


def _readable(kind: type[Kind], values: Iterable[bytes]) -> Iterator[Kind]:
    for value in values:
        try:
            yield decode(kind, value)
        except Malformed:
            continue
