"""Slices of input into columns that can be joined; what cannot be becomes a dead letter of the unit it came with."""

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
"""No UTF-8 has it, so it may stand between ids."""


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
        """Many more."""
        self.keys += keys
        self.values += values
        self.timestamps += timestamps
        self.offsets += offsets
        self.lives += lives

    def split(self, keys: AbstractSet[bytes]) -> "tuple[ParsedBatch, ParsedBatch]":
        """The records with these keys, each of which is here once, and the others; usually there are few of those."""
        if len(keys) == len(self.keys):
            return self, ParsedBatch()
        rest = [row for row, key in enumerate(self.keys) if key not in keys]
        runs = [(after + 1, row) for after, row in pairwise((-1, *rest, len(self.keys)))]
        columns: tuple[list[Any], ...] = (self.keys, self.values, self.timestamps, self.offsets, self.lives)
        chosen = (list(chain.from_iterable(column[start:end] for start, end in runs)) for column in columns)
        others = ([column[row] for row in rest] if column else [] for column in columns)
        return ParsedBatch(*chosen), ParsedBatch(*others)


class InputParser:
    """Reads requests and live predictions of one namespace; `timed` as of `read_lives`."""

    def __init__(self, namespace: str, timed: str) -> None:
        self.namespace, self.timed = namespace, timed

    def read(self, piece: RecordBatch, taken: ParsedBatch, unit: InFlightBatch, models: set[str], now_ms: int) -> None:
        """Take over the records that can be joined, and what the predictions among them say; set the others aside.

        `models` are the live models met before in this partition; new ones are added.
        """
        if None not in piece.keys and None not in piece.values:
            keys, values = cast("list[bytes]", piece.keys), cast("list[bytes]", piece.values)
            with contextlib.suppress(Malformed):
                taken.extend(
                    keys, values, piece.timestamps, piece.offsets, self._lives(piece.topic, keys, values, models)
                )
                return
        for key, value, at, offset in zip(piece.keys, piece.values, piece.timestamps, piece.offsets, strict=True):
            try:
                if value is None or key is None:
                    raise Malformed("the value is null" if value is None else "the key is not a request id")
                taken.extend([key], [value], [at], [offset], self._lives(piece.topic, [key], [value], models))
            except Malformed as error:
                self.set_aside(piece.topic, piece.partition, offset, key, value, str(error), unit, now_ms)
                unit.count(piece.partition, piece.topic, "dead_lettered")

    def set_aside(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        reason: str,
        unit: InFlightBatch,
        now_ms: int,
    ) -> None:
        """Write a dead letter."""
        source = f"{self.namespace}.{topic}"
        letter = dead_letter(source, partition, offset, key, value, reason=reason, now_ms=now_ms)
        unit.outputs.add("dead-letters", partition, letter_key(key), letter)

    def _lives(self, topic: str, keys: list[bytes], values: list[bytes], models: set[str]) -> list[Live]:
        """What the records say, if they are predictions.

        Raises:
            Malformed: One of the keys is no request id, or one of the records no prediction, or too large.
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
