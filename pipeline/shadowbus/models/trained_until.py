"""When a model was saved, as far as what lies around its file tells: then its training was over.

In: the file and its bytes. Out: the moment and where it comes from. Guaranteed: never too early, unless a clock was
wrong then; what cannot be so is not taken. The file's own date is not looked at: a copy has another one.
"""

import io
import re
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shadowbus.cutoff import Cutoff

EARLIEST_MS = 1_420_070_400_000
"""2015: a clock that was set anew begins earlier."""

WESTERNMOST = timedelta(hours=12, seconds=2)
"""A zip has local times, of any zone: so late may it have been in UTC. They are even seconds."""

MOST_BYTES = 100_000
_CREATED = re.compile(r"^utc_time_created: *'?([^'\n]+)'? *$", re.MULTILINE)
_ENDED = re.compile(r"^end_time: *(\d{13}) *$", re.MULTILINE)


def trained_until(file: Path, data: bytes, now_ms: int) -> Cutoff:
    """Until when a model was trained, where nobody says: when its MLflow run ended, when its file was written, now.

    Args:
        file: Where the model was saved.
        data: Its bytes.
        now_ms: The time.
    """
    for found in (_by_mlflow(file), _by_zip(data, now_ms)):
        if found is not None and EARLIEST_MS <= found.until_ms < now_ms:
            return Cutoff(found.until_ms, found.source, now_ms)
    return Cutoff(now_ms, "bundled", now_ms)


def _by_mlflow(file: Path) -> Cutoff | None:
    """Of a file in a folder that MLflow has written: when the run ended, else when the model was logged."""
    for folder in list(file.absolute().parents)[:2]:
        logged = _CREATED.search(_text(folder / "MLmodel"))
        if logged is None:
            continue
        ended = [_ENDED.search(_text(above / "meta.yaml")) for above in list(folder.parents)[:2]]
        if runs := [int(one[1]) for one in ended if one is not None]:
            return Cutoff(max(runs), "mlflow")
        try:
            return Cutoff(_ms(datetime.fromisoformat(logged[1])), "mlflow")
        except ValueError:
            return None
    return None


def _by_zip(data: bytes, now_ms: int) -> Cutoff | None:
    """Of a file that is a zip, such as skops': the newest of its entries, in whatever zone that was."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            moments = [datetime(*entry.date_time, tzinfo=UTC) for entry in archive.infolist()]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    if not moments or _ms(max(moments)) > now_ms + 14 * 3_600_000:
        return None
    return Cutoff(_ms(max(moments) + WESTERNMOST), "file")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            return opened.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _ms(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
