"""The state of one source partition: what waits, what was answered, the books, and how all of it is kept.

The changelog of a partition holds four kinds of records: a waiting request (`r` and its id), a waiting prediction (`p`
and its id), the ids answered in one transaction (`a` and a number that grows), and `books`.
"""

import struct
from dataclasses import dataclass, field

import orjson

from shadowbus.errors import StateCorruptError
from shadowbus.replay.books import Books
from shadowbus.replay.inbox import Inbox
from shadowbus.replay.join import PREDICTION, REQUEST, Half, Join, merge_change

BOOKS_KEY = b"books"
ANSWERED = b"a"
UNKNOWN_MODEL = "unknown"

_HALF = struct.Struct(">qq")  # since when it waits, and its offset
_BETWEEN = b"\xff"  # between ids; never in one, since it is not UTF-8


@dataclass(slots=True)
class PartitionState:
    """`join` and `inbox` run ahead; the rest is as of the last unit of work that is finished."""

    join: Join
    inbox: Inbox = field(default_factory=Inbox)
    books: Books = field(default_factory=Books)
    changes: dict[bytes, Half | None] = field(default_factory=dict)
    fresh: list[bytes] = field(default_factory=list)
    entry: int = 0
    live_model: str = UNKNOWN_MODEL
    event_ms: dict[str, int] = field(default_factory=lambda: {"requests": 0, "predictions": 0})
    touched: bool = False

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take back one changelog record.

        Raises:
            StateCorruptError: It is of no known kind.
        """
        join, kind, rest = self.join, key[:1], key[1:]
        if key == BOOKS_KEY:
            document = orjson.loads(value or b"{}")
            self.books = Books.from_record(document)
            self.live_model = document["live_model"]
        elif kind == ANSWERED:
            if value is not None:
                join.answered.newer.update(value.split(_BETWEEN))
                join.answered.note(key)
            self.entry = max(self.entry, int.from_bytes(rest, "big") + 1)
        elif kind in (REQUEST, PREDICTION):
            halves = join.requests if kind == REQUEST else join.predictions
            halves.pop(rest, None)
            if value is not None:
                halves[rest] = (value[_HALF.size :], *_HALF.unpack_from(value), None)
        else:
            raise StateCorruptError(f"The changelog has a key of no known kind: {key[:40]!r}.")

    def keep(self, changes: dict[bytes, Half | None], fresh: list[bytes]) -> None:
        """Note the changes of a unit that is finished."""
        for key, half in changes.items():
            merge_change(self.changes, key, half)
        self.fresh += fresh

    def take_changelog(self) -> list[tuple[bytes, bytes | None]]:
        """The changelog records, key and value, of everything that changed since the last call."""
        rows: list[tuple[bytes, bytes | None]] = [
            (key, None if half is None else _HALF.pack(half[1], half[2]) + half[0])
            for key, half in self.changes.items()
        ]
        if self.fresh:
            entry = ANSWERED + self.entry.to_bytes(8, "big")
            rows.append((entry, _BETWEEN.join(self.fresh)))
            rows.extend((old, None) for old in self.join.answered.note(entry))
            self.entry += 1
        rows.append((BOOKS_KEY, orjson.dumps({**self.books.record(), "live_model": self.live_model})))
        self.changes, self.fresh, self.touched = {}, [], False
        return rows
