"""The entries of one partition, one for each request id, in a RocksDB folder.

The store carries the input positions it has applied and is written only after these are committed, in one batch; so it
is never ahead of Kafka, and what it lacks is read again from the source topics. It carries the name of the state it is
part of as well, since a folder may come from elsewhere, and positions of other topics may happen to fit. A store that
is damaged (`rocksdb.py` says when that is), or of another format, is wiped: all of it can be read again. One that
cannot be used just now (in use, no rights, disk full) never is.

Rows: `e` and an id holds an entry, which begins with the hour before whose end nothing of it expires; `f` and a number
holds shared fields (`dictionary.py`).
"""

import contextlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import orjson
from rocksdict import Rdict, WriteBatch

from shadowbus.errors import Retry
from shadowbus.judge.dictionary import FieldDictionary
from shadowbus.judge.entry import Entry
from shadowbus.judge.rocksdb import FolderLock, is_damaged, refused, scanning, tuned

logger = logging.getLogger("shadowbus.judge")

_POSITIONS = b"\x00positions"
_STATE = b"\x00state"
_FORMAT = b"\x00format"
_THIS_FORMAT = b"2"
"""The format of the rows. A store of another format, or with rows and no format, cannot be read."""

_ENTRY = b"e"
_FIELDS = b"f"

_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError)
"""What reading a row raises that is not what was written."""


class _Foreign(Exception):
    """A row is not what this format has there, though RocksDB vouches for its bytes."""


class EntryStore:
    """The entries of one partition.

    Args:
        folder: Where to keep them; created if it is absent, and again if it is damaged.

    Raises:
        Retry: Another process has it, or the disk refuses; as may all its methods.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database: Rdict | None = None
        self._claim = FolderLock(folder)
        try:
            self._open_or_begin()
        except BaseException:
            self.close()
            raise

    def _open_or_begin(self) -> None:
        try:
            self._open()
        except Retry as error:
            if self.folder.exists():
                raise
            logger.warning("%s", error)
            self._open()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dictionary = FieldDictionary()
        self._changed: dict[bytes, Entry] = {}
        with self._touching():
            self._database = database = Rdict(str(self.folder), tuned())
            kept, found = database.get(_POSITIONS), database.get(_FORMAT)
            if found is None and kept is None:
                database.put(_FORMAT, _THIS_FORMAT)
            elif found != _THIS_FORMAT:
                raise _Foreign(f"its format is {found!r}, not {_THIS_FORMAT!r}")
            with _as_foreign("positions or shared fields"):
                self._positions: dict[str, int] = {} if kept is None else dict(orjson.loads(kept))
                self._state = (database.get(_STATE) or b"").decode()
                for _, packed in self._rows(_FIELDS, b""):
                    self.dictionary.restore(packed)

    def positions(self) -> dict[str, int]:
        """Up to where each input topic is applied."""
        return dict(self._positions)

    def entries(self, wanted: Iterable[tuple[bytes | None, int]]) -> dict[bytes, Entry]:
        """The entries of these ids; where there is none, a new, empty one, which counts hours from the one given."""
        hours = {key: hour for key, hour in wanted if key}
        changed = self._changed
        found = {key: changed[key] for key in hours if key in changed} if changed else {}
        # In the order of the table, which makes the search shorter.
        unknown = sorted(key for key in hours if key not in found) if found else sorted(hours)
        with self._touching() as database:
            kept = database.get([_ENTRY + key for key in unknown]) or []
            with _as_foreign("an entry"):
                for key, value in zip(unknown, kept, strict=True):
                    found[key] = Entry(hours[key]) if value is None else Entry.from_bytes(value)
        return found

    def change(self, key: bytes, entry: Entry) -> None:
        """Note a changed entry; it is written with the next `write`, or deleted if nothing is left in it."""
        self._changed[key] = entry

    def due(self, after: bytes, hour: int, count: int) -> tuple[list[bytes], bytes | None]:
        """The ids after `after` of which something may have expired at the end of this hour, among `count` entries.

        Returns:
            The ids; and the last one that was looked at, None if that was the last there is.
        """
        limit, seen, reached = (hour + 1).to_bytes(4, "big"), 0, after
        found: set[bytes] = set()
        with self._touching():
            for row, packed in self._rows(_ENTRY, after + b"\x00" if after else b""):
                seen, reached = seen + 1, row[1:]
                if packed[:4] < limit:
                    found.add(reached)
                if seen == count:
                    break
        end = None if seen < count else reached
        found.update(key for key in self._changed if after < key and (end is None or key <= end))
        return sorted(found), end

    def write(self, positions: dict[str, int]) -> None:
        """Write all changes with the positions they belong to, as one."""
        if not self._changed and positions == self._positions:
            return
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, entry in self._changed.items():
            if entry:
                put(_ENTRY + key, entry.to_bytes())
            else:
                batch.delete(_ENTRY + key)
        for number, packed in self.dictionary.new:
            put(_FIELDS + number.to_bytes(4, "big"), packed)
        put(_POSITIONS, orjson.dumps(positions))
        with self._touching() as database:
            database.write(batch)
        self._positions = dict(positions)
        self._changed.clear()
        self.dictionary.new.clear()

    def belong_to(self, state: str) -> None:
        """Be part of the state of that name, and forget everything if it was part of another."""
        if self._state != state and self._positions:
            logger.warning("%s belongs to other topics; it is wiped, and read again from Kafka", self.folder)
            self.wipe()
        if self._state != state:
            with self._touching() as database:
                database.put(_STATE, state.encode())
            self._state = state

    def wipe(self) -> None:
        """Forget everything: what is kept does not belong to these topics."""
        self._remove()
        self._open()

    def _rows(self, kind: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of one kind in their order. `items()` of rocksdict would end at a damaged one as if it were the last."""
        assert self._database is not None  # noqa: S101
        rows = self._database.iter(scanning())
        try:
            rows.seek(kind + start)
            while rows.valid() and (row := rows.key())[:1] == kind:
                yield row, rows.value()
                rows.next()
            rows.status()
        finally:
            del rows  # as long as there is one, the store is not closed

    def _remove(self) -> None:
        self._shut()
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise refused(self.folder, error) from error

    @contextlib.contextmanager
    def _touching(self) -> Iterator[Rdict]:
        """What goes wrong in the store, as what to do next.

        RocksDB takes nothing more after an error of its own, so the store is closed: the next try opens it again.
        """
        try:
            yield self._database  # type: ignore[misc]
        except _Foreign as error:
            self._remove()
            raise Retry(f"{self.folder} cannot be read ({error}); it is wiped, and read again from Kafka") from error
        except MemoryError:
            raise
        except Exception as error:
            self._shut()
            try:
                damaged = is_damaged(self.folder)
            except OSError as reason:
                raise refused(self.folder, reason) from error
            if not damaged:
                raise Retry(f"{self.folder} cannot be used; look at the disk and its rights ({error})") from error
            self._remove()
            raise Retry(f"{self.folder} was damaged ({error}); it is wiped, and read again from Kafka") from error

    def _shut(self) -> None:
        if self._database is not None:
            database, self._database = self._database, None
            try:
                database.close()
            except Exception as error:  # what was not written is read again from Kafka
                logger.warning("%s could not be closed properly: %s", self.folder, error)

    def close(self) -> None:
        """Release the folder, so that another worker may take it."""
        self._shut()
        self._claim.close()


@contextlib.contextmanager
def _as_foreign(what: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise _Foreign(f"{what}: {error!r}") from error
