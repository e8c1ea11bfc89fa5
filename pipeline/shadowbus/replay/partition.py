"""The state of one source partition: what waits, what was answered, the books, and how all of it is kept.

The changelog of a partition holds four kinds of records: a waiting request (`r` and its id), a waiting prediction (`p`
and its id), the ids answered in one transaction (`a` and a number that grows), and `books`. What is restored is checked
against itself and what is committed: a state that was damaged, cut short or belongs to other topics is an error.
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
"""Ids have at most 512 bytes, so that such a record always fits."""

ANEW = (
    "Give the shadow another name in the settings and run `shadowbus topics --create`: it then begins anew, with the "
    "oldest requests that Kafka has."
)
"""What to do about state that is not to be trusted: that name is in the group's, the trial's and the changelog's."""

_HALF = struct.Struct(">qqI")  # since when it waits, its offset, and how many bytes follow
_BETWEEN = b"\xff"  # between ids; never in one, since it is not UTF-8


@dataclass(slots=True)
class ReplayPartition:
    """`join` and `inbox` run ahead; the rest is as of the last unit of work that is finished.

    `models` are the live models met so far. `name` is the changelog partition's, for what is said of it; `entries` are
    the numbers of the `a` records restored, and `forgotten` the keys of those that are to be deleted next; `kept` says
    whether the changelog had any books; `damaged` what cannot be taken back, by key.
    """

    join: Join
    name: str = ""
    inbox: ReorderBuffer = field(default_factory=ReorderBuffer)
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
        """Take back changelog records; as in any compacted topic the last one of a key counts, damaged or not."""
        for key, value, offset in zip(records.keys, records.values, records.offsets, strict=True):
            try:
                self._take_back(key, value)
            except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
                self.damaged[key] = f"offset {offset}, key {(key or b'')[:40]!r}: {error!r}"
            else:
                self.damaged.pop(key, None)

    def check(self, committed: Mapping[str, int]) -> None:
        """All of the changelog is restored: is it whole, and does it belong to what is committed?

        Args:
            committed: The committed position of each input.

        Raises:
            StateCorruptError: It is not, or does not.
        """
        for what in self.damaged.values():
            raise self._corrupt(f"has a record that replay did not write, or that was damaged ({what}).")
        for side, halves in zip(SIDES, (self.join.requests, self.join.predictions), strict=True):
            reached, waiting = self.books.next_offsets.get(side, 0), self.books.waiting[side]
            if reached > committed[side]:
                raise self._corrupt(
                    f"counts {side} up to offset {reached}, but only {committed[side]} is committed: the "
                    "topic was made anew, or the group's offsets were moved back."
                )
            if len(halves) != waiting or any(half[2] >= reached for half in halves.values()):
                raise self._corrupt(
                    f"says that {waiting} {side} wait, and holds {len(halves)}: a part of it is missing."
                )
        wanted = range(min(self.entries, default=0), self.entry)  # the oldest may be forgotten, and then the next
        if self.entries != set(wanted):
            raise self._corrupt("no longer has all the ids that were answered: a part of it is missing.")
        self._read_predictions()

    def pending(self) -> dict[str, int]:
        """How many records of each input are in memory, joined or not."""
        waiting = {"requests": len(self.join.requests), "predictions": len(self.join.predictions)}
        return {side: waiting[side] + self.inbox.count[side] for side in SIDES}

    def newest_ms(self, side: str) -> int:
        """Up to which time an input has been read."""
        return max(self.inbox.newest_ms(side), self.event_ms[side])

    def never_read(self, side: str, count: int) -> None:
        """Records before the committed position that were never taken: nothing balances them in the books."""
        self.books.counts[side, "read"] += count
        self.books.counts[side, "never_read"] += count
        self.touched = True

    def skipped(self, side: str, count: int, next_offset: int) -> None:
        """Records that are there, before the committed position and behind the books.

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
            halves = join.requests if kind == REQUEST else join.predictions
            halves.pop(rest, None)
            if value is not None:
                since, offset, length = _HALF.unpack_from(value)
                if len(value) != _HALF.size + length:
                    raise ValueError(f"{len(value) - _HALF.size} of {length} bytes are there")
                halves[rest] = (value[_HALF.size :], since, offset, None)
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
        halves = self.join.predictions
        try:
            lives = read_lives(list(halves), [half[0] for half in halves.values()])
        except Malformed as error:
            raise self._corrupt(f"holds a prediction that cannot be read: {error}.") from error
        for (key, half), live in zip(list(halves.items()), lives, strict=True):
            halves[key] = (*half[:3], live)
            self.models.add(live.model)

    def keep(self, changes: dict[bytes, Unmatched | None], fresh: list[bytes]) -> None:
        """Note the changes of a unit that is finished."""
        for key, half in changes.items():
            merge_change(self.changes, key, half)
        self.fresh += fresh

    def take_changelog(self) -> list[tuple[bytes, bytes | None]]:
        """The changelog records, key and value, of everything that changed since the last call."""
        rows: list[tuple[bytes, bytes | None]] = [(old, None) for old in self.forgotten]
        rows += [
            (key, None if half is None else _HALF.pack(half[1], half[2], len(half[0])) + half[0])
            for key, half in self.changes.items()
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
