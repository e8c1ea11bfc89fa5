"""CSV with a header. The separator (a comma, semicolon, tab or bar) and the encoding are detected.

In: bytes. Out: rows of text, which `backtest/cells/` gives types. A column without a name is left out.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from shadowbus.backtest.files.contents import as_text, unreadable_text
from shadowbus.backtest.files.table import BadRow, Batch
from shadowbus.errors import ShadowbusError
from shadowbus.topology import MAX_RECORD_BYTES

BETWEEN = ",;\t|\x01"
"""The separators; of those that are equally frequent in the header, the first one counts."""

_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class CsvTable:
    """A CSV file.

    Args:
        path: Its name.
        plain: The open file.
        unpacked: What is in it.
        size: Its bytes.
        encoding: That of its text; empty: UTF-8, or what it begins with says.

    Raises:
        ShadowbusError: It has no header, or one that names a column twice, or cannot be read.
    """

    text_cells = True

    def __init__(self, path: Path, plain: IO[bytes], unpacked: IO[bytes], size: int, encoding: str = "") -> None:
        self.path, self.plain, self.size = path, plain, max(1, size)
        csv.field_size_limit(MAX_RECORD_BYTES)
        self.text = as_text(unpacked, encoding)
        try:
            self.comma, self.reader, header = self._begin()
            self.width = len(header)
            self.kept = [index for index, name in enumerate(header) if name]
            self.nameless = [index + 1 for index, name in enumerate(header) if not name]
            self.names = tuple(header[index] for index in self.kept)
            if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
                raise ShadowbusError(f"{self.path} has more than one column named {twice[0]!r}.")
        except ShadowbusError:
            self.close()
            raise

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows; one that is not as long as the header is bad."""
        reader, width = self.reader, self.width
        try:
            while found := [(reader.line_num, row) for row in islice(reader, size)]:
                bad = [
                    BadRow(line, f"{len(row)} cells, where the header has {width}", self.comma.join(row).encode())
                    for line, row in found
                    if len(row) != width and row
                ]
                good = [one for one in found if len(one[1]) == width]
                cells = list(zip(*(row for _, row in good), strict=True)) or [()] * width
                columns = {self.names[at]: cells[index] for at, index in enumerate(self.kept)}
                yield Batch([line for line, _ in good], columns, bad=bad)
        except (OSError, EOFError, csv.Error, UnicodeError) as error:
            raise unreadable_text(self.path, error) from error

    def done(self) -> float:
        """By bytes of the file as it is."""
        return min(1.0, self.plain.tell() / self.size)

    def close(self) -> None:
        """Close it."""
        self.text.close()
        self.plain.close()

    def _begin(self) -> tuple[str, Any, list[str]]:
        try:
            first = self.text.readline()
            told = re.fullmatch(r'"?sep=(.)"?\s*', first)  # Excel's own way to say it
            first = self.text.readline() if told else first
            comma = told[1] if told else _between(first)
            reader = csv.reader(chain([first], self.text), delimiter=comma, skipinitialspace=f"{comma} " in first)
            header = [name.strip() for name in next(reader, [])]
        except (OSError, EOFError, csv.Error, UnicodeError) as error:
            raise unreadable_text(self.path, error) from error
        if not any(header):
            raise ShadowbusError(f"{self.path} is empty: a CSV file has to begin with the names of its columns.")
        return comma, reader, header


def _between(header: str) -> str:
    plain = _QUOTED.sub("", header)
    return max(BETWEEN, key=plain.count)
