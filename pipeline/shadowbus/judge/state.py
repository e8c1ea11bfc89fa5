"""The judge's state of one partition: the entries, the books, and how the books are kept.

The changelog has one record for each partition: the books, up to where they count, up to where everything has expired,
and the name of the local state that belongs to them. It is checked when it is restored.
"""

import logging
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from shadowbus.errors import StateCorruptError
from shadowbus.judge.entry import START, ExpiryWatermark
from shadowbus.judge.store import EntryStore
from shadowbus.stage import RecordBatch

BOOKS_KEY = b"books"
SIDES = {
    "comparisons": ("read", "not_compared", "judged", "waiting", "expired", "dead_lettered", "never_read"),
    "labels": ("read", "kept", "duplicates", "corrections", "too_old", "dead_lettered", "never_read"),
}
"""What is counted. On each side, read = the sum of the others, because a comparison whose label is corrected was judged
before. The first label of an id is kept, later ones repeat or correct it. A label is too old if it can no longer count
when it comes. Records are never read if Kafka deleted them, or if somebody moved the group past them."""

WATERMARK = "swept"
"""In the changelog, beside the books: the expiry watermark, as [hour, hour, id in hex]."""

NEXT_OFFSETS, STATE = "next_offsets", "state"
"""Also there: the positions up to which the books count, by topic, and the name of their local state."""

Books = Counter[tuple[str, str]]

logger = logging.getLogger("shadowbus.judge")


@dataclass(slots=True)
class JudgePartition:
    """One partition. `watermark` only grows, and is committed before anything it covers is deleted.

    `name` is the changelog partition's. `counted` are the books in which re-read input counts: empty ones that are
    dropped, unless the books are being rebuilt. `counted_to` are the positions that the restored books reached; None if
    there were none. `damaged` says by key what could not be restored.
    """

    name: str
    partition: int
    store: EntryStore
    books: Books = field(default_factory=Counter)
    positions: dict[str, int] = field(default_factory=dict)
    newest_ms: dict[str, int] = field(default_factory=dict)
    watermark: ExpiryWatermark = START
    state: str = ""
    counted: Books = field(default_factory=Counter)
    counted_to: dict[str, int] | None = None
    damaged: dict[bytes | None, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The books, as vitals have them."""
        return {side: {name: self.books[side, name] for name in names} for side, names in SIDES.items()}

    def to_bytes(self) -> bytes:
        """The changelog record."""
        done, aim, to = self.watermark
        kept = {WATERMARK: [done, aim, to.hex()], STATE: self.state, NEXT_OFFSETS: self.positions}
        return orjson.dumps({**self.document(), **kept})

    def restore(self, records: RecordBatch) -> None:
        """Restore changelog records; the last one of a key counts, damaged or not."""
        for key, value, offset in zip(records.keys, records.values, records.offsets, strict=True):
            try:
                self._take_back(key, value)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self.damaged[key] = f"offset {offset}, key {(key or b'')[:40]!r}: {error!r}"
            else:
                self.damaged.pop(key, None)

    def start(self, committed: Mapping[str, int]) -> bool:
        """Bring the local state in line with the changelog, all of which is restored.

        Args:
            committed: The committed position of each input.

        Returns:
            Whether the books begin, or begin again.

        Raises:
            StateCorruptError: The changelog is damaged, or the books go beyond what is committed.
        """
        if self.damaged:
            raise StateCorruptError(
                f"{self.name} has a record that the judge did not write, or that was damaged "
                f"({next(iter(self.damaged.values()))}). Delete that topic and run `shadowbus topics --create`: the "
                "books are then counted again, from both inputs."
            )
        for topic, reached in (self.counted_to or {}).items():
            if reached > committed[topic]:
                raise StateCorruptError(
                    f"{self.name} counts {topic} up to offset {reached}, but only {committed[topic]} is committed: the "
                    "topic was deleted and recreated, or the group's offsets were moved back. Start over in a new "
                    "namespace."
                )
        if self.counted_to is None:
            if any(committed.values()):
                logger.warning("%s is empty; the books are counted again", self.name)
            self.state, self.counted = uuid.uuid4().hex, self.books
        self.store.belong_to(self.state)
        if any(offset > committed.get(topic, 0) for topic, offset in self.store.positions().items()):
            self.store.wipe()
            self.store.belong_to(self.state)
        self.positions = dict(committed)
        return self.counted_to is None

    def known(self, records: RecordBatch) -> int:
        """How many of these records, from the first one on, the books contain."""
        if self.counted_to is None:
            return len(records.offsets)
        return bisect_left(records.offsets, self.counted_to[records.topic])

    def _take_back(self, key: bytes | None, value: bytes | None) -> None:
        if key != BOOKS_KEY:
            if value is not None:  # what was written by mistake may be deleted again
                raise ValueError("its key is of no known kind")
            return
        kept = orjson.loads(value or b"")
        done, aim, to = kept[WATERMARK]
        self.watermark = ExpiryWatermark(int(done), int(aim), bytes.fromhex(to))
        self.books = Counter({(side, name): int(kept[side][name]) for side, names in SIDES.items() for name in names})
        self.state, self.counted_to = str(kept[STATE]), {topic: int(kept[NEXT_OFFSETS][topic]) for topic in SIDES}
