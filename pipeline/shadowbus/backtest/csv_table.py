"""CSV with a header; semicolons or, in `.tsv`, tabs may stand for the commas."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from shadowbus.backtest.batch import BadRow, Batch
from shadowbus.backtest.opening import unreadable
from shadowbus.errors import ShadowbusError
from shadowbus.topology import MAX_RECORD_BYTES


class CsvTable:
    """A CSV file.

    Args:
        path: Its name.
        plain: The open file.
        unpacked: What is in it.
        size: Its bytes.

    Raises:
        ShadowbusError: It has no header, or one that names a column twice.
    """

    def __init__(self, path: Path, plain: IO[bytes], unpacked: IO[bytes], size: int) -> None:
        self.path, self.plain, self.size = path, plain, max(1, size)
        csv.field_size_limit(MAX_RECORD_BYTES)
        self.text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
        try:
            self.comma, self.names = self._header()
        except ShadowbusError:
            self.close()
            raise

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows; one that is not as long as the header is bad."""
        reader, width = csv.reader(self.text, delimiter=self.comma), len(self.names)
        try:
            while found := [(reader.line_num + 1, row) for row in islice(reader, size)]:
                bad = [
                    BadRow(line, f"{len(row)} cells, where the header has {width}", self.comma.join(row).encode())
                    for line, row in found
                    if len(row) != width and row
                ]
                good = [one for one in found if len(one[1]) == width]
                columns = dict(zip(self.names, zip(*(row for _, row in good), strict=True), strict=False))
                yield Batch([line for line, _ in good], columns, cells=True, bad=bad)
        except (OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error

    def done(self) -> float:
        """By bytes of the file as it is."""
        return min(1.0, self.plain.tell() / self.size)

    def close(self) -> None:
        """Close it."""
        self.text.close()
        self.plain.close()

    def _header(self) -> tuple[str, tuple[str, ...]]:
        try:
            header = self.text.readline().rstrip("\r\n")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error
        comma = "\t" if ".tsv" in self.path.suffixes else ";" if ";" in header and "," not in header else ","
        names = tuple(next(csv.reader([header], delimiter=comma), []))
        if not names:
            raise ShadowbusError(f"{self.path} is empty: a CSV file has to begin with the names of its columns.")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ShadowbusError(f"{self.path} has more than one column named {twice[0]!r}.")
        return comma, names
