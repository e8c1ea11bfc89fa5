"""One record of the partials topic as it is read: whose it is, how far it counts, and whether that can be so. Pure.

In: keys and values that anybody may have written. Out: what they say, or `Malformed` with the reason. Guaranteed: what
is let through can be read again later, is about what its key says, and counts nothing that Kafka does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.errors import Malformed
from shadowbus.records import Partial, from_object, parse_object
from shadowbus.stage import Input
from shadowbus.totals.key import COUNTED, VITALS, Key
from shadowbus.totals.noise_floor import NoiseFloor
from shadowbus.totals.span import GateSpan
from shadowbus.totals.totals import Totals

REPLAY = "replay"
JUDGE = "judge"
SIDES = ("requests", "predictions")

CLOCKS_APART_MS = 3_600_000
"""How far ahead of this machine's the clock of another may be."""

_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError, OverflowError)


class Beyond(Malformed):
    """It counts more than Kafka is known to have, or comes from a time that is yet to come."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a partial, or vitals among the partials, say.

    Attributes:
        key: Of which trial, segment and window.
        source: Of which source partition.
        value: The record; None deletes.
        offsets: How far it counts, by topic.
        inputs: Up to which offset it says that partitions were read.
        times: When it says that something was, in milliseconds since the epoch, by the name of the field.
    """

    key: Key
    source: int
    value: bytes | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[Input, int] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Real:
    """What claims are checked against: where each partition ends, and the time."""

    ends: Mapping[Input, int]
    now_ms: int

    def check(self, inputs: Mapping[Input, int], times: Mapping[str, int]) -> None:
        """Refuse what cannot be so.

        Raises:
            Beyond: An offset lies behind the end of its partition, or a time in the future.
        """
        for (topic, partition), offset in inputs.items():
            end = self.ends.get((topic, partition), 0)
            if offset > end:
                raise Beyond(f"it counts {topic}, partition {partition}, up to offset {offset}, and that ends at {end}")
        for name, at_ms in times.items():
            if at_ms > self.now_ms + CLOCKS_APART_MS:
                raise Beyond(f"its '{name}' is {(at_ms - self.now_ms) / 60_000:.0f} minutes from now")


def parse_key(key: bytes | None) -> tuple[Key, int]:
    """Whose record it is, and of which source partition.

    Raises:
        Malformed: The key is none of a partial.
    """
    try:
        trial, segment, window, source = (key or b"").decode().split("|")
        if not source.isdecimal():
            raise ValueError
        return Key(trial, segment, window), int(source)
    except ValueError:
        raise Malformed(f"the key {key!r:.100} is not trial|segment|window|partition") from None


def read_claim(key: Key, source: int, value: bytes | None) -> Claim:
    """What a record says.

    Args:
        key: Of what its key says that it is.
        source: And of which source partition.
        value: The record's bytes.

    Raises:
        Malformed: It is neither a partial nor vitals, or could not be merged later.
    """
    if value is None:
        return Claim(key, source)
    record = parse_object(value)
    offsets = _offsets(record, "next_offsets")
    if strangers := offsets.keys() - ({VITALS} if key.segment == VITALS else set(COUNTED)):
        raise Malformed(f"its 'next_offsets' name {', '.join(sorted(strangers))!r:.100}, which it does not count")
    inputs, times = {(topic, source): offset for topic, offset in offsets.items()}, ["updated_ms"]
    if key.segment == VITALS:
        inputs |= {(side, source): offset for side, offset in _read_by_replay(record).items()}
        times = ["claimed_since_ms", "written_ms"]
    else:
        _check_partial(key, source, record, offsets)
    named = {one: at for one in times if isinstance(at := record.get(one), int)}
    return Claim(key, source, value, offsets, inputs, named)


def newer(offsets: Mapping[str, int], before: Mapping[str, int]) -> bool:
    """Whether it is at least as far as what came before, in every input."""
    return all(offsets.get(topic, 0) >= offset for topic, offset in before.items())


def _check_partial(key: Key, source: int, record: dict[str, Any], offsets: Mapping[str, int]) -> None:
    """Refuse now what could not be merged later."""
    partial = from_object(Partial, record)
    if (partial.trial, partial.segment, partial.window, partial.partition) != (*key, source):
        raise Malformed("it is of another trial, segment, window or partition than its key says")
    firsts = _offsets({"first_offsets": partial.first_offsets}, "first_offsets")
    if not newer(offsets, {topic: first for topic, first in firsts.items() if first}):
        raise Malformed("its first offset lies behind its last one")
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in partial.names.values()):
        raise Malformed("the field 'names' has to be an object of lists of text")
    try:
        Totals.from_record(partial.totals)
        NoiseFloor.from_record(partial.noise)
        GateSpan.from_record(partial.span)
    except _UNREADABLE as error:
        raise Malformed(f"its totals cannot be read: {error!r:.200}") from None


def _offsets(record: Mapping[str, Any], name: str) -> dict[str, int]:
    offsets = record.get(name)
    if not isinstance(offsets, dict) or not all(type(offset) is int and offset >= 0 for offset in offsets.values()):
        raise Malformed(f"the field '{name}' has to be an object of offsets")
    return offsets


def _read_by_replay(record: Mapping[str, Any]) -> dict[str, int]:
    """How far replay says that it has read its inputs, where it says so."""
    books = record.get("books")
    pages = {side: books.get(side) for side in SIDES} if isinstance(books, dict) else {}
    offsets = {side: page.get("next_offset") for side, page in pages.items() if isinstance(page, dict)}
    return {side: offset for side, offset in offsets.items() if isinstance(offset, int)}
