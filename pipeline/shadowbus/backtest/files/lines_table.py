"""JSON lines: one JSON object a line. A file that is one list of objects is read too, whole."""

import json
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import IO, Any

from orjson import JSONDecodeError, dumps, loads

from shadowbus.backtest.files.contents import as_text, unreadable_text, with_peek
from shadowbus.backtest.files.table import BadRow, Batch
from shadowbus.errors import ShadowbusError

_PANDAS = (
    "is one object with a column in each field, as pandas' to_json writes it unless told otherwise: write it with "
    "to_json(..., orient='records', lines=True)."
)


class LinesTable:
    """A file of JSON lines.

    Args:
        path: Its name.
        plain: The open file.
        unpacked: What is in it.
        size: Its bytes.
        parsed: Whether columns are wanted, beside the lines.
        encoding: That of its text; empty: UTF-8, or what it begins with says.
    """

    text_cells = False

    def __init__(
        self, path: Path, plain: IO[bytes], unpacked: IO[bytes], size: int, *, parsed: bool, encoding: str = ""
    ) -> None:
        self.path, self.plain, self.unpacked, self.size, self.parsed = path, plain, unpacked, max(1, size), parsed
        self.names: tuple[str, ...] | None = None
        self.nameless: list[int] = []
        self.encoding = encoding

    def batches(self, size: int) -> Iterator[Batch]:
        """All lines that are not empty."""
        start = 1
        try:
            lines_of_file = lines_of(self.unpacked, self.encoding)
            while found := list(islice(lines_of_file, size)):
                if start == 1:
                    _see_whether_rows(self.path, found)
                raw = list(map(bytes.rstrip, found))
                lines = list(range(start, start + len(raw)))
                start += len(raw)
                if b"" in raw:
                    kept = [index for index, value in enumerate(raw) if value]
                    lines, raw = [lines[index] for index in kept], [raw[index] for index in kept]
                yield _with_columns(lines, raw) if self.parsed else Batch(lines, raw=raw)
        except (OSError, EOFError, UnicodeError) as error:
            raise unreadable_text(self.path, error) from error

    def done(self) -> float:
        """By bytes of the file as it is."""
        return min(1.0, self.plain.tell() / self.size)

    def close(self) -> None:
        """Close it."""
        self.unpacked.close()
        self.plain.close()


def lines_of(unpacked: IO[bytes], encoding: str = "") -> Iterator[bytes]:
    """The lines of a file; of one that is one list its objects, a line each."""
    buffered = with_peek(unpacked)
    begins = buffered.peek(4)[:4]
    if encoding or begins[:2] in (b"\xff\xfe", b"\xfe\xff") or begins.startswith(b"\xef\xbb\xbf"):
        lines: Iterator[bytes] = (line.encode() for line in as_text(buffered, encoding))
    else:
        lines = iter(buffered)
    first = next(lines, b"")
    if not first.lstrip().startswith(b"["):
        return chain([first], lines)
    rest = list(lines)
    try:
        return map(dumps, loads(b"".join([first, *rest])))
    except JSONDecodeError:
        return chain([first], rest)


def first_line(unpacked: IO[bytes], encoding: str = "") -> dict[str, Any]:
    """The first object in JSON lines; an empty one where there is none among the first hundred lines."""
    for line in islice(lines_of(unpacked, encoding), 100):
        try:
            found = loads(line)
        except JSONDecodeError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _see_whether_rows(path: Path, lines: list[bytes]) -> None:
    """One object of columns is no row.

    Raises:
        ShadowbusError: The file holds nothing else.
    """
    try:
        found = loads(lines[0]) if len(lines) == 1 else None
    except JSONDecodeError:
        return
    columns = list(found.values()) if isinstance(found, dict) else []
    if columns and all(isinstance(one, dict) and "0" in one for one in columns):
        raise ShadowbusError(f"{path} {_PANDAS}")


def _object(line: bytes) -> object:
    """What a line says; `NaN`, which Python writes for what is missing, is null."""
    try:
        return loads(line)
    except JSONDecodeError:
        if b"NaN" not in line:
            raise
    return json.loads(line, parse_constant=_constant)


def _constant(word: str) -> None:
    if word != "NaN":
        raise ValueError(f"not JSON: {word} has no place in a record")


def _with_columns(lines: list[int], raw: list[bytes]) -> Batch:
    bad: list[BadRow] = []
    objects: list[dict[str, Any]] = []
    kept: list[int] = []
    for index, line, value in zip(count(), lines, raw, strict=False):
        try:
            found = _object(value)
            if not isinstance(found, dict):
                raise ValueError(f"a JSON object is needed, not {type(found).__name__}")
        except ValueError as error:
            reason = f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
            bad.append(BadRow(line, reason, value, group=reason.partition(":")[0]))
        else:
            objects.append(found)
            kept.append(index)
    names = dict.fromkeys(name for one in objects for name in one)
    columns = {name: [one.get(name) for one in objects] for name in names}
    return Batch([lines[index] for index in kept], columns, [raw[index] for index in kept], bad=bad)
