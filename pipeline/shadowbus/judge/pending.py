"""What one partition's judge remembers: an entry for each request id, and when something of it is over.

Kept in RocksDB, a folder per partition. The store carries the input positions it has applied and is written only after
these are committed, in one batch; so it is never ahead of Kafka, and what it lacks is read again from the source
topics. Marks are kept in their order beside the entries, so that what is over is found without looking at the rest.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import orjson
from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch

from shadowbus.judge.entry import START, Entry, Mark

_POSITIONS = b"\x00positions"
_ENTRY = b"e"
_MARK = b"t"


class Pending:
    """The entries of one partition.

    Args:
        folder: Where to keep them; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        table = BlockBasedOptions()
        table.set_bloom_filter(10, False)  # most ids that are asked for are new
        options = Options(raw_mode=True)
        options.set_max_open_files(256)
        options.set_block_based_table_factory(table)
        self._database = Rdict(str(self.folder), options)
        kept = self._database.get(_POSITIONS)
        self._positions: dict[str, int] = {} if kept is None else orjson.loads(kept)
        self._changed: dict[bytes, Entry] = {}
        self._marks: set[Mark] = set()
        self._taken: list[Mark] = []
        self._taken_to = START

    def positions(self) -> dict[str, int]:
        """Up to where each input topic is applied."""
        return dict(self._positions)

    def entries(self, ids: Iterable[bytes]) -> dict[bytes, Entry]:
        """The entries of these ids; a new, empty one where there is none."""
        wanted = dict.fromkeys(ids)
        found = {key: self._changed[key] for key in wanted if key in self._changed}
        unknown = [key for key in wanted if key not in found]
        kept = self._database.get([_ENTRY + key for key in unknown]) or []
        for key, value in zip(unknown, kept, strict=True):
            found[key] = Entry() if value is None else Entry.from_bytes(value)
        return found

    def change(self, key: bytes, entry: Entry) -> None:
        """Note a changed entry; it is written with the next `write`, or deleted if nothing is left in it."""
        self._changed[key] = entry

    def mark(self, hour: int, key: bytes) -> None:
        """Note when something of an entry is over; later than every mark taken so far."""
        self._marks.add((hour, key))

    def take_marks(self, end: Mark, count: int) -> list[Mark]:
        """The next marks before `end`, in order, at most `count`; they are deleted with the next `write`."""
        due = {mark for mark in self._marks if mark < end}
        due.update(self._kept_marks(end, count))
        taken = sorted(due)[:count]
        if taken:
            self._taken_to = taken[-1]
            self._taken += taken
            self._marks.difference_update(taken)
        return taken

    def _kept_marks(self, end: Mark, count: int) -> list[Mark]:
        found: list[Mark] = []
        rows = cast("Iterator[bytes]", self._database.keys(from_key=_row(self._taken_to)))
        for row in rows:
            mark = (int.from_bytes(row[1:9], "big"), row[9:])
            if not row.startswith(_MARK) or mark >= end or len(found) == count:
                break
            if mark > self._taken_to:
                found.append(mark)
        return found

    def write(self, positions: dict[str, int]) -> None:
        """Write all changes with the positions they belong to, as one."""
        if not (self._changed or self._marks or self._taken) and positions == self._positions:
            return
        batch = WriteBatch(raw_mode=True)
        for key, entry in self._changed.items():
            if entry:
                batch.put(_ENTRY + key, entry.to_bytes())
            else:
                batch.delete(_ENTRY + key)
        for mark in self._taken:
            batch.delete(_row(mark))
        for mark in self._marks:
            batch.put(_row(mark), b"")
        batch.put(_POSITIONS, orjson.dumps(positions))
        self._database.write(batch)
        self._positions = dict(positions)
        for noted in (self._changed, self._marks, self._taken):
            noted.clear()

    def wipe(self) -> None:
        """Forget everything: what is kept does not belong to these topics."""
        self._database.close()
        shutil.rmtree(self.folder)
        self._open()

    def close(self) -> None:
        """Let go of the folder, so that another worker may take it."""
        with contextlib.suppress(Exception):
            self._database.close()


def _row(mark: Mark) -> bytes:
    return _MARK + mark[0].to_bytes(8, "big") + mark[1]
