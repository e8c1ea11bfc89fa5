"""Parses input records.

In: a batch of records of one input. Out: columns that can be joined, and a dead letter for each record that cannot.
"""

import contextlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, cast

from shadowbus.errors import Malformed
from shadowbus.limits import MAX_ID_BYTES, MAX_LIVE_MODELS
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.replay.in_flight import InFlightBatch
from shadowbus.replay.live import MODEL_OF, Live, read_lives
from shadowbus.stage import RecordBatch
from shadowbus.topology import MAX_RECORD_BYTES

NEVER_IN_AN_ID = b"\xff"
"""UTF-8 never contains this byte, so it can separate ids."""


@dataclass(slots=True)
class ParsedBatch:
    """Columns of equal length; `lives` is empty for requests."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lives: list[Live] = field(default_factory=list)

    def extend(
        self,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        timestamps: Sequence[int],
        offsets: Sequence[int],
        lives: Sequence[Live],
    ) -> None:
        """Add many rows."""
        self.keys += keys
        self.values += values
        self.timestamps += timestamps
        self.offsets += offsets
        self.lives += lives

    def split(self, keys: AbstractSet[bytes]) -> "tuple[ParsedBatch, ParsedBatch]":
        """The records with these keys, each of which is here once, and the others, which are usually few."""
        if len(keys) == len(self.keys):
            return self, ParsedBatch()
        rest = [row for row, key in enumerate(self.keys) if key not in keys]
        runs = [(after + 1, row) for after, row in pairwise((-1, *rest, len(self.keys)))]
        columns: tuple[list[Any], ...] = (self.keys, self.values, self.timestamps, self.offsets, self.lives)
        chosen = (list(chain.from_iterable(column[start:end] for start, end in runs)) for column in columns)
        others = ([column[row] for row in rest] if column else [] for column in columns)
        return ParsedBatch(*chosen), ParsedBatch(*others)


class InputParser:
    """Parses requests and live predictions of one namespace; `timed` as in `read_lives`."""

    def __init__(self, namespace: str, timed: str) -> None:
        self.namespace, self.timed = namespace, timed

    def read(
        self, records: RecordBatch, parsed: ParsedBatch, batch: InFlightBatch, models: set[str], now_ms: int
    ) -> None:
        """Add the records that can be joined to `parsed`; write dead letters for the others.

        `models` are the live models seen before in this partition; new ones are added.
        """
        if None not in records.keys and None not in records.values:
            keys, values = cast("list[bytes]", records.keys), cast("list[bytes]", records.values)
            with contextlib.suppress(Malformed):
                lives = self._lives(records.topic, keys, values, models)
                parsed.extend(keys, values, records.timestamps, records.offsets, lives)
                return
        for key, value, at, offset in zip(
            records.keys, records.values, records.timestamps, records.offsets, strict=True
        ):
            try:
                if value is None or key is None:
                    raise Malformed("the value is null" if value is None else "the key is not a request id")
                lives = self._lives(records.topic, [key], [value], models)
                parsed.extend([key], [value], [at], [offset], lives)
            except Malformed as error:
                self.set_aside(records.topic, records.partition, offset, key, value, str(error), batch, now_ms)
                batch.count(records.partition, records.topic, "dead_lettered")

    def set_aside(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        reason: str,
        batch: InFlightBatch,
        now_ms: int,
    ) -> None:
        """Write a dead letter."""
        source = f"{self.namespace}.{topic}"
        letter = dead_letter(source, partition, offset, key, value, reason=reason, now_ms=now_ms)
        batch.outputs.add("dead-letters", partition, letter_key(key), letter)

    def _lives(self, topic: str, keys: list[bytes], values: list[bytes], models: set[str]) -> list[Live]:
        """The parsed records, if they are predictions; adds new live models to `models`.

        Raises:
            Malformed: A key is no request id, or a record is no prediction or too large.
        """
        if b"" in keys or NEVER_IN_AN_ID in b"".join(keys):
            raise Malformed("the key is not a request id")
        if max(map(len, keys)) > MAX_ID_BYTES:
            raise Malformed(f"the key is not a request id: it has more than {MAX_ID_BYTES} bytes")
        if max(map(len, values)) > MAX_RECORD_BYTES:  # in a topic that takes more than ours do
            raise Malformed(f"the record has more than {MAX_RECORD_BYTES:,} bytes")
        if topic != "predictions":
            return []
        lives = read_lives(keys, values, self.timed)
        if new := set(map(MODEL_OF, lives)) - models:
            if len(models) + len(new) > MAX_LIVE_MODELS:
                raise Malformed(
                    f"the field 'model' is {min(new)!r}, and {len(models)} different ones have come before: it has to "
                    "be a model's name and version, not one of a process or a moment; a shadow of another name begins "
                    "anew"
                )
            models |= new
        return lives
