"""JSON lines: one JSON object a line."""

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

from orjson import JSONDecodeError, loads

from shadowbus.backtest.batch import BadRow, Batch
from shadowbus.backtest.opening import unreadable


class LinesTable:
    """A file of JSON lines.

    Args:
        path: Its name.
        plain: The open file.
        unpacked: What is in it.
        size: Its bytes.
        parsed: Whether columns are wanted, beside the lines.
    """

    def __init__(self, path: Path, plain: IO[bytes], unpacked: IO[bytes], size: int, *, parsed: bool) -> None:
        self.path, self.plain, self.unpacked, self.size, self.parsed = path, plain, unpacked, max(1, size), parsed
        self.names: tuple[str, ...] | None = None

    def batches(self, size: int) -> Iterator[Batch]:
        """All lines that are not empty."""
        start = 1
        try:
            while found := list(islice(self.unpacked, size)):
                raw = list(map(bytes.rstrip, found))
                lines = list(range(start, start + len(raw)))
                start += len(raw)
                if b"" in raw:
                    kept = [index for index, value in enumerate(raw) if value]
                    lines, raw = [lines[index] for index in kept], [raw[index] for index in kept]
                yield _with_columns(lines, raw) if self.parsed else Batch(lines, raw=raw)
        except (OSError, EOFError) as error:
            raise unreadable(self.path, error) from error

    def done(self) -> float:
        """By bytes of the file as it is."""
        return min(1.0, self.plain.tell() / self.size)

    def close(self) -> None:
        """Close it."""
        self.unpacked.close()
        self.plain.close()


def first_line(unpacked: IO[bytes]) -> dict[str, Any]:
    """The first object in JSON lines; an empty one where there is none among the first hundred lines."""
    for line in islice(unpacked, 100):
        try:
            found = loads(line)
        except JSONDecodeError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _with_columns(lines: list[int], raw: list[bytes]) -> Batch:
    bad: list[BadRow] = []
    objects: list[dict[str, Any]] = []
    kept: list[int] = []
    for index, line, value in zip(count(), lines, raw, strict=False):
        try:
            found = loads(value)
            if not isinstance(found, dict):
                raise ValueError(f"a JSON object is needed, not {type(found).__name__}")
        except ValueError as error:
            reason = f"not JSON: {error}" if isinstance(error, JSONDecodeError) else str(error)
            bad.append(BadRow(line, reason, value))
        else:
            objects.append(found)
            kept.append(index)
    names = dict.fromkeys(name for one in objects for name in one)
    columns = {name: [one.get(name) for one in objects] for name in names}
    return Batch([lines[index] for index in kept], columns, [raw[index] for index in kept], bad=bad)
