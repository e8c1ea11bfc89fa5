"""Topics as typed records, for aggregators, notebooks and scripts of your own. See docs/reading.md.

The record type says which topic: `read(settings, Comparison)` reads `<namespace>.comparisons`. Only what is committed
is seen. No consumer group is joined, so nothing is committed and nobody is disturbed; for a group of your own, take
the topic's name from `topic_of`, any client that reads committed records, and `records.decode`.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from shadowbus.clock import Deadline
from shadowbus.errors import Malformed
from shadowbus.kafka.read.subscribe import follow as follow_topic
from shadowbus.kafka.read.topic import read_all, read_table
from shadowbus.records import (
    Aggregate,
    Comparison,
    DeadLetter,
    Label,
    Outcome,
    Partial,
    Prediction,
    Request,
    Verdict,
    Vitals,
    from_object,
    parse_object,
)
from shadowbus.settings import Settings
from shadowbus.topology import (
    AGGREGATES,
    COMPARISONS,
    DEAD_LETTERS,
    LABELS,
    OUTCOMES,
    PARTIALS,
    PREDICTIONS,
    REQUESTS,
    VERDICTS,
    VITALS,
    Topic,
)

TOPICS: dict[type, Topic] = {
    Request: REQUESTS,
    Prediction: PREDICTIONS,
    Label: LABELS,
    Comparison: COMPARISONS,
    Outcome: OUTCOMES,
    Vitals: VITALS,
    Partial: PARTIALS,
    Aggregate: AGGREGATES,
    Verdict: VERDICTS,
    DeadLetter: DEAD_LETTERS,
}
"""Which topic holds records of which type."""

MARKS: dict[type, str] = {Verdict: "criteria"}
"""Where other records lie in the same topic: a field that they do not have, and are passed over for without a word."""

ANSWER_SECONDS = 20.0

Kind = TypeVar("Kind")
Kept = TypeVar("Kept", Aggregate, Verdict)

logger = logging.getLogger("shadowbus.reading")


def topic_of(settings: Settings, kind: type) -> str:
    """The full name of the topic that holds records of this type.

    >>> topic_of(Settings("churn"), Comparison)
    'churn.comparisons'
    """
    return TOPICS[kind].full_name(settings.namespace)


def read(settings: Settings, kind: type[Kind]) -> Iterator[Kind]:
    """Every record that is in the topic now; those of one partition in their order.

    Args:
        settings: How to reach Kafka.
        kind: A record type, such as `Comparison`.

    Raises:
        BrokerError: The topic is missing, or could not be read to its end.
    """
    for piece in read_all(settings, TOPICS[kind]):
        yield from typed(kind, (value for value in piece.values if value is not None))


def follow(
    settings: Settings, kind: type[Kind], stop: threading.Event | None = None, *, from_beginning: bool = False
) -> Iterator[Kind]:
    """Records as they come, until `stop` is set (None: for ever).

    Args:
        settings: How to reach Kafka.
        kind: A record type, such as `Comparison`.
        stop: Set it to end; looked at several times a second.
        from_beginning: Start with all there is, in place of what comes from now on.

    Raises:
        BrokerError: The topic is missing, or Kafka does not answer.
    """
    deadline = Deadline.after(ANSWER_SECONDS)
    values = follow_topic(settings, TOPICS[kind], stop or threading.Event(), deadline, from_beginning=from_beginning)
    return typed(kind, values)


def newest(settings: Settings, kind: type[Kept]) -> dict[str, Kept]:
    """The newest record of each key: verdicts by trial, aggregates by `trial|segment|window`.

    Raises:
        BrokerError: The topic is missing, or could not be read in time.
    """
    table = read_table(settings, TOPICS[kind], Deadline.after(ANSWER_SECONDS))
    read_back = ((key.decode(errors="replace"), list(typed(kind, [value]))) for key, value in table.items())
    return {key: found[0] for key, found in read_back if found}


def typed(kind: type[Kind], values: Iterable[bytes]) -> Iterator[Kind]:
    """Values as records; what is no such record is left out, and told in the log: the 1st, 2nd, 4th, 8th … of them."""
    left_out = 0
    for value in values:
        try:
            record = parse_object(value)
            if kind not in MARKS or MARKS[kind] in record:
                yield from_object(kind, record)
        except Malformed as error:
            left_out += 1
            if left_out & (left_out - 1) == 0:
                logger.warning("a value among the %s is left out (%d so far): %s", TOPICS[kind].name, left_out, error)
