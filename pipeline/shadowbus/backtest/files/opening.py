"""A file by its name: JSON lines, CSV or Parquet, the first two also packed with gzip or zstd."""

import contextlib
import gzip
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from shadowbus.backtest.files.table import Table
from shadowbus.errors import ShadowbusError
from shadowbus.settings.backtest import BacktestSettings

JSON_LINES, CSV, PARQUET = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv"), (".parquet", ".pq")
PACKED = (".gz", ".zst")


def open_table(path: Path, settings: BacktestSettings, *, parsed: bool) -> Table:
    """Open a file.

    Args:
        path: Its name says what it is.
        settings: What encoding its text has.
        parsed: Whether the columns of JSON lines are wanted, beside the lines.

    Raises:
        ShadowbusError: It is not there, cannot be read, or is of no known kind.
    """
    kind = kind_of(path)
    try:
        if kind in PARQUET:
            from shadowbus.backtest.files.parquet_table import ParquetTable

            return ParquetTable(path)
        plain = path.open("rb")
        size = path.stat().st_size
        unpacked = _unpacked(plain, path.suffix)
        if kind in CSV:
            from shadowbus.backtest.files.csv_table import CsvTable

            return CsvTable(path, plain, unpacked, size, settings.encoding)
        from shadowbus.backtest.files.lines_table import LinesTable

        return LinesTable(path, plain, unpacked, size, parsed=parsed, encoding=settings.encoding)
    except OSError as error:
        raise unreadable(path, error) from error


@contextlib.contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes]]:
    """What is in a file of lines, to look into it.

    Raises:
        ShadowbusError: It is not there or cannot be read.
    """
    try:
        with path.open("rb") as plain:
            yield _unpacked(plain, path.suffix)
    except (OSError, EOFError, UnicodeError) as error:
        raise unreadable(path, error) from error


def kind_of(path: Path) -> str:
    """The suffix that says what is in a file.

    Raises:
        ShadowbusError: None that is known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    if suffixes and suffixes[-1] in JSON_LINES + CSV + PARQUET:
        return suffixes[-1]
    known = ", ".join(JSON_LINES + CSV + PARQUET)
    raise ShadowbusError(f"{path} does not say what it is: its name has to end in one of {known} (or .gz, .zst after).")


def unreadable(path: Path, error: Exception) -> ShadowbusError:
    """What to say of a file that cannot be read."""
    return ShadowbusError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.")


def _unpacked(plain: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(plain))
    if suffix.lower() == ".zst":
        pyarrow: Any = importlib.import_module("pyarrow")
        return io.BufferedReader(pyarrow.CompressedInputStream(plain, "zstd"), 1 << 20)
    return plain
