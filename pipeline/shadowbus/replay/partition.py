"""The state of one source partition: unmatched records, answered ids, the books, and how all of it is kept.

The changelog of a partition holds four kinds of records: a waiting request (`r` and its id), a waiting prediction (`p`
and its id), the ids answered in one transaction (`a` and a number that grows), and `books`. Restored state is
checked against itself and against what is committed: damaged or truncated state, or that of other topics, is an error.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from shadowbus.errors import Malformed, StateCorruptError
from shadowbus.replay.books import SIDES, Books
from shadowbus.replay.join import PREDICTION, REQUEST, Join, Unmatched, merge_change
from shadowbus.replay.live import read_lives
from shadowbus.replay.reorder_buffer import ReorderBuffer
from shadowbus.stage import RecordBatch

BOOKS_KEY = b"books"
ANSWERED = b"a"
UNKNOWN_MODEL = "unknown"
IDS_IN_AN_ENTRY = 10_000
"""Ids have at most 512 bytes, so such a record always fits."""

ANEW = (
    "Give the shadow another name in the settings and run `shadowbus topics --create`: it then begins anew, with the "
    "oldest requests that Kafka has."
)
"""What to do about state that cannot be trusted: group, trial and changelog are named after the shadow."""

_HALF = struct.Struct(">qqI")  # since when it waits, its offset, and how many bytes follow
_BETWEEN = b"\xff"  # between ids; never in one, since it is not UTF-8


@dataclass(slots=True)
class ReplayPartition:
    """`join` and `buffer` run ahead; the rest describes the last batch that finished.

    `models` are the live models seen so far. `name` is the changelog partition's, for errors. `entries` are the numbers
    of the restored `a` records, and `forgotten` the keys of those to delete next. `kept` says whether the changelog had
    books, and `damaged` by key what could not be restored.
    """

    join: Join
    name: str = ""
    buffer: ReorderBuffer = field(default_factory=ReorderBuffer)
    books: Books = field(default_factory=Books)
    changes: dict[bytes, Unmatched | None] = field(default_factory=dict)
    fresh: list[bytes] = field(default_factory=list)
    entry: int = 0
    live_model: str = UNKNOWN_MODEL
    models: set[str] = field(default_factory=set)
    event_ms: dict[str, int] = field(default_factory=lambda: {"requests": 0, "predictions": 0})
    touched: bool = False
    entries: set[int] = field(default_factory=set)
    forgotten: list[bytes] = field(default_factory=list)
    kept: bool = False
    damaged: dict[bytes | None, str] = field(default_factory=dict)

    def restore(self, records: RecordBatch) -> None:
        """Restore changelog records; as in any compacted topic the last one of a key counts, damaged or not."""
        for key, value, offset in zip(records.keys, records.values, records.offsets, strict=True):
            try:
                self._take_back(key, value)
            except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
                self.damaged[key] = f"offset {offset}, key {(key or b'')[:40]!r}: {error!r}"
            else:
                self.damaged.pop(key, None)

    def check(self, committed: Mapping[str, int]) -> None:
        """Check that the restored changelog is whole, and belongs to what is committed.

        Args:
            committed: The committed position of each input.

        Raises:
            StateCorruptError: It is not, or does not.
        """
        if self.damaged:
            what = next(iter(self.damaged.values()))
            raise self._corrupt(f"has a record that replay did not write, or that was damaged ({what}).")
        for side, unmatched in zip(SIDES, (self.join.requests, self.join.predictions), strict=True):
            reached, waiting = self.books.next_offsets.get(side, 0), self.books.waiting[side]
            if reached > committed[side]:
                raise self._corrupt(
                    f"counts {side} up to offset {reached}, but only {committed[side]} is committed: the "
                    "topic was deleted and recreated, or the group's offsets were moved back."
                )
            if len(unmatched) != waiting or any(record[2] >= reached for record in unmatched.values()):
                raise self._corrupt(
                    f"says that {waiting} {side} wait, and holds {len(unmatched)}: a part of it is missing."
                )
        wanted = range(min(self.entries, default=0), self.entry)  # the oldest may be forgotten, and then the next
        if self.entries != set(wanted):
            raise self._corrupt("no longer has all the ids that were answered: a part of it is missing.")
        self._read_predictions()

    def pending(self) -> dict[str, int]:
        """How many records of each input are in memory, in the join or in the buffer."""
        waiting = {"requests": len(self.join.requests), "predictions": len(self.join.predictions)}
        return {side: waiting[side] + self.buffer.count[side] for side in SIDES}

    def newest_ms(self, side: str) -> int:
        """The time up to which an input has been read, in milliseconds since the epoch."""
        return max(self.buffer.newest_ms(side), self.event_ms[side])

    def never_read(self, side: str, count: int) -> None:
        """Count records before the committed position that were never read: nothing balances them in the books."""
        self.books.counts[side, "read"] += count
        self.books.counts[side, "never_read"] += count
        self.touched = True

    def skipped(self, side: str, count: int, next_offset: int) -> None:
        """Count records between the books and the committed position.

        Raises:
            StateCorruptError: There are no books.
        """
        if not self.kept:
            raise self._corrupt(f"is empty, though {side} were read: it was deleted, or not restored.")
        self.never_read(side, count)
        self.books.next_offsets[side] = next_offset

    def _corrupt(self, what: str) -> StateCorruptError:
        return StateCorruptError(f"{self.name} {what} {ANEW}")

    def _take_back(self, key: bytes | None, value: bytes | None) -> None:
        if key is None:
            raise ValueError("it has no key")
        join, kind, rest = self.join, key[:1], key[1:]
        if kind in (REQUEST, PREDICTION):
            unmatched = join.requests if kind == REQUEST else join.predictions
            unmatched.pop(rest, None)
            if value is not None:
                since, offset, length = _HALF.unpack_from(value)
                if len(value) != _HALF.size + length:
                    raise ValueError(f"{len(value) - _HALF.size} of {length} bytes are there")
                unmatched[rest] = (value[_HALF.size :], since, offset, None)
        elif kind == ANSWERED and len(rest) == 8:
            number = int.from_bytes(rest, "big")
            self.entry = max(self.entry, number + 1)
            self.entries.discard(number)
            if value is not None:
                self.entries.add(number)
                join.answered.newer.update(value.split(_BETWEEN))
                # Read back, generations are cut elsewhere than when they were written: what falls out is still there.
                self.forgotten += join.answered.note(key)
        elif key == BOOKS_KEY and value is not None:
            document = orjson.loads(value)
            self.books, self.live_model, self.kept = Books.from_record(document), str(document["live_model"]), True
            self.models = self.books.live_models()
            self.entry = max(self.entry, document["entries"])
        elif value is not None or key == BOOKS_KEY:  # what was written by mistake may be deleted again
            raise ValueError("its key is of no known kind" if value is not None else "the books were deleted")

    def _read_predictions(self) -> None:
        unmatched = self.join.predictions
        try:
            lives = read_lives(list(unmatched), [record[0] for record in unmatched.values()])
        except Malformed as error:
            raise self._corrupt(f"holds a prediction that cannot be read: {error}.") from error
        for (key, record), live in zip(list(unmatched.items()), lives, strict=True):
            unmatched[key] = (*record[:3], live)
            self.models.add(live.model)

    def keep(self, changes: dict[bytes, Unmatched | None], fresh: list[bytes]) -> None:
        """Note the changes of a finished batch."""
        for key, record in changes.items():
            merge_change(self.changes, key, record)
        self.fresh += fresh

    def take_changelog(self) -> list[tuple[bytes, bytes | None]]:
        """The changelog records, key and value, of everything that changed since the last call."""
        rows: list[tuple[bytes, bytes | None]] = [(old, None) for old in self.forgotten]
        rows += [
            (key, None if record is None else _HALF.pack(record[1], record[2], len(record[0])) + record[0])
            for key, record in self.changes.items()
        ]
        for start in range(0, len(self.fresh), IDS_IN_AN_ENTRY):
            entry = ANSWERED + self.entry.to_bytes(8, "big")
            rows.append((entry, _BETWEEN.join(self.fresh[start : start + IDS_IN_AN_ENTRY])))
            rows.extend((old, None) for old in self.join.answered.note(entry))
            self.entry += 1
        rows.append(
            (BOOKS_KEY, orjson.dumps({**self.books.record(), "live_model": self.live_model, "entries": self.entry}))
        )
        self.changes, self.fresh, self.forgotten, self.touched = {}, [], [], False
        return rows
