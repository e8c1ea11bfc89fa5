"""What one partition's judge remembers: an entry for each request id, and when something of it is over.

Kept in RocksDB, a folder per partition. The store carries the input positions it has applied and is written only after
these are committed, in one batch; so it is never ahead of Kafka, and what it lacks is read again from the source
topics. It carries the name of the state it is part of as well, since a folder may come from elsewhere, and positions of
other topics may happen to fit. A store that is damaged is wiped: all of it can be read again. Marks are kept in their
order beside the entries, so that what is over is found without looking at the rest.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import orjson
from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch

from shadowbus.errors import Retry
from shadowbus.judge.entry import START, Entry, Mark

logger = logging.getLogger("shadowbus.judge")

_POSITIONS = b"\x00positions"
_STATE = b"\x00state"
_ENTRY = b"e"
_MARK = b"t"

_DAMAGED = ("Corruption", "No such file", "does not exist", "Invalid argument")
"""What RocksDB says of a store of which a part is missing or not what was written."""


class Pending:
    """The entries of one partition.

    Args:
        folder: Where to keep them; made if it is not there, and made anew if it is damaged.

    Raises:
        Retry: Another process has it, or the disk refuses; as may all its methods.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._open()
        except Retry as error:
            if folder.exists():
                raise
            logger.warning("%s", error)
            self._open()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        table = BlockBasedOptions()
        table.set_bloom_filter(10, False)  # most ids that are asked for are new
        options = Options(raw_mode=True)
        options.set_max_open_files(256)
        options.set_block_based_table_factory(table)
        with self._touching():
            self._database = Rdict(str(self.folder), options)
            kept = self._database.get(_POSITIONS)
            self._positions: dict[str, int] = {} if kept is None else orjson.loads(kept)
            self._state = (self._database.get(_STATE) or b"").decode()
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
        with self._touching():
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
        with self._touching():
            for row in cast("Iterator[bytes]", self._database.keys(from_key=_row(self._taken_to))):
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
        with self._touching():
            self._database.write(batch)
        self._positions = dict(positions)
        for noted in (self._changed, self._marks, self._taken):
            noted.clear()

    def belong_to(self, state: str) -> None:
        """Be part of the state of that name, and forget everything if it was part of another."""
        if self._state != state and self._positions:
            logger.warning("%s belongs to other topics; it is wiped, and read again from Kafka", self.folder)
            self.wipe()
        if self._state != state:
            with self._touching():
                self._database.put(_STATE, state.encode())
            self._state = state

    def wipe(self) -> None:
        """Forget everything: what is kept does not belong to these topics."""
        self._remove()
        self._open()

    def _remove(self) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def _touching(self) -> Iterator[None]:
        """What RocksDB raises, as what to do next. It has no types of its own for it."""
        try:
            yield
        except Exception as error:
            reason = str(error)
            if "While lock file" in reason:
                raise Retry(f"{self.folder} is still in use by another process ({reason})") from error
            if not any(sign in reason for sign in _DAMAGED) and not isinstance(error, ValueError):
                raise Retry(f"{self.folder} cannot be used; look at the disk and its rights ({reason})") from error
            self._remove()
            raise Retry(f"{self.folder} was damaged ({reason}); it is wiped, and read again from Kafka") from error

    def close(self) -> None:
        """Let go of the folder, so that another worker may take it."""
        with contextlib.suppress(Exception):  # also where it never was opened
            self._database.close()


def _row(mark: Mark) -> bytes:
    return _MARK + mark[0].to_bytes(8, "big") + mark[1]
