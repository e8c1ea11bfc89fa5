"""RocksDB for the judge: its options, the lock on its folder, and whether a store is damaged.

RocksDB has no types for the errors it raises, and their texts decide nothing here. Instead the operating system is
asked: who holds the folder (a lock of our own beside it), whether it can be written, whether each file can be read. A
store is damaged if RocksDB cannot read all of it although the operating system can; any other trouble is the disk's,
and passes or needs a person.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from rocksdict import AccessType, BlockBasedOptions, Options, Rdict, RdictIter, ReadOptions

from shadowbus.errors import Retry

_LOCK = "LOCK"
_PIECE = 1 << 20


class FolderLock:
    """The right to a folder, until it is given back or the process ends.

    Raises:
        Retry: Another process has it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _check_not_held(folder / _LOCK)
            _check_writable(folder)
        except BlockingIOError:
            self.close()
            raise Retry(f"{folder} is still in use by another process.") from None
        except OSError as error:
            self.close()
            raise refused(folder, error) from error

    def close(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused(folder: Path, error: OSError) -> Retry:
    """What to do when the operating system does not let us use a folder."""
    return Retry(f"{folder} cannot be used; look at the disk and its rights ({error.strerror or error})")


def is_damaged(folder: Path) -> bool:
    """Whether RocksDB cannot read a store although the operating system can read every byte; nobody may have it open.

    Reads all of it twice, once with every checksum: only asked when something went wrong.

    Raises:
        OSError: The operating system cannot either.
    """
    with contextlib.ExitStack() as opened:  # all at once, as RocksDB has them
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            file = opened.enter_context(path.open("rb", buffering=0))
            while file.read(_PIECE):
                pass
    try:
        database = Rdict(str(folder), tuned(), access_type=AccessType.read_only(False))
        rows: RdictIter | None = None
        try:
            rows = database.iter(scanning())
            rows.seek_to_first()
            while rows.valid():
                rows.next()
            rows.status()
        finally:
            rows = None  # as long as there is one, the store is not closed
            database.close()
    except MemoryError:
        raise
    except Exception:
        return True
    return False


def _check_not_held(lock: Path) -> None:
    """By RocksDB in another process, which may be of a release that takes no lock but RocksDB's."""
    if lock.exists():
        with lock.open("rb+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _check_writable(folder: Path) -> None:
    probe = folder / "probe"
    try:
        with probe.open("wb", buffering=0) as file:
            file.write(bytes(4096))
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)


MEMORY_TABLE = 64 << 20
"""Bytes that are gathered before they become a file; there may be three of these for each partition."""


def tuned() -> Options:
    """The options of a store."""
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)  # most ids that are asked for are new
    options = Options(raw_mode=True)
    options.set_max_open_files(256)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(MEMORY_TABLE)
    options.set_max_write_buffer_number(3)
    options.set_memtable_prefix_bloom_ratio(0.05)  # and there too
    options.set_memtable_whole_key_filtering(True)
    return options


def scanning() -> ReadOptions:
    """How to read one entry after the other without driving out what is asked for by id."""
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]
    return options
