"""A file by its name: JSON lines, CSV or Parquet, the first two also packed with gzip or zstd."""

from pathlib import Path

from shadowbus.backtest.files.contents import unpacked, unreadable
from shadowbus.backtest.files.csv_table import CsvTable
from shadowbus.backtest.files.lines_table import LinesTable
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
            from shadowbus.backtest.files.parquet_table import ParquetTable  # needs pyarrow, which the others do not

            return ParquetTable(path)
        plain = path.open("rb")
        size = path.stat().st_size
        contents = unpacked(plain, path.suffix)
        if kind in CSV:
            return CsvTable(path, plain, contents, size, settings.encoding)
        return LinesTable(path, plain, contents, size, parsed=parsed, encoding=settings.encoding)
    except OSError as error:
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
