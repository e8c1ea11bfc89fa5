"""What one partition's judge remembers: comparisons that wait for their label, and labels that wait for a comparison.

Kept in RocksDB, a folder per partition, one entry per request id. The store carries the input positions it has applied
and is written only after these are committed, in one batch; so it is never ahead of Kafka, and what it lacks is read
again from the source topics. An entry is dropped when the label horizon has passed.
"""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from rocksdict import Options, Rdict, WriteBatch

Entry = dict[str, Any]
"""`label`: [label, timestamp] once known; `waiting`: comparisons by trial, as far as needed to judge them."""

_POSITIONS = b"\x00positions"
_ENTRY = b"e"


class Pending:
    """The entries of one partition.

    Args:
        folder: Where to keep them; made if it is not there.
        horizon_seconds: After how long an entry may be dropped.
    """

    def __init__(self, folder: Path, horizon_seconds: int) -> None:
        self.folder, self.horizon_seconds = folder, horizon_seconds
        self._changed: dict[bytes, Entry] = {}
        self._database = self._open()

    def _open(self) -> Rdict:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.set_max_open_files(256)
        return Rdict(str(self.folder), options)

    def positions(self) -> dict[str, int]:
        """Up to where each input topic is applied."""
        kept = self._database.get(_POSITIONS)
        return {} if kept is None else dict(orjson.loads(kept))

    def entries(self, ids: Iterable[bytes]) -> dict[bytes, Entry]:
        """The entries of these ids; a new, empty one where there is none."""
        wanted = list(dict.fromkeys(ids))
        unknown = [key for key in wanted if key not in self._changed]
        found: dict[bytes, Entry] = {}
        kept = self._database.get([_ENTRY + key for key in unknown]) or []
        for key, value in zip(unknown, kept, strict=True):
            found[key] = {} if value is None else orjson.loads(value)
        found.update((key, self._changed[key]) for key in wanted if key in self._changed)
        return found

    def change(self, key: bytes, entry: Entry) -> None:
        """Note a changed entry; it is written with the next `write`."""
        self._changed[key] = entry

    def write(self, positions: dict[str, int]) -> None:
        """Write all changes with the positions they belong to, as one."""
        if not self._changed and positions == self.positions():
            return
        batch = WriteBatch(raw_mode=True)
        for key, entry in self._changed.items():
            batch.put(_ENTRY + key, orjson.dumps(entry))
        batch.put(_POSITIONS, orjson.dumps(positions))
        self._database.write(batch)
        self._changed.clear()

    def wipe(self) -> None:
        """Forget everything: what is kept does not belong to these topics."""
        self._database.close()
        shutil.rmtree(self.folder)
        self._changed.clear()
        self._database = self._open()

    def close(self) -> None:
        """Let go of the folder, so that another worker may take it."""
        with contextlib.suppress(Exception):
            self._database.close()
