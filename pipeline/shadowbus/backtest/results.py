"""The folder a backtest writes: files of JSON lines, one for each topic, and `backtest.json`, which says what it is."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from orjson import OPT_INDENT_2, dumps, loads

from shadowbus.backtest.files.table import BadRow
from shadowbus.errors import ShadowbusError
from shadowbus.records.dead_letters import dead_letter

FILES = ("comparisons", "outcomes", "aggregates", "verdicts", "looks", "dead-letters")
SUMMARY = "backtest.json"
BUFFER = 1 << 20

DUPLICATE = "duplicate"
"""The reason of a row that says again what one before it said: it is read, and misleads nobody."""


class Folder:
    """An output folder, open.

    Args:
        path: Where.
        namespace: The namespace of the topics that dead letters name.
        force: Whether a folder that holds something else may be used.

    Raises:
        ShadowbusError: It holds something else, or cannot be written.
    """

    def __init__(self, path: Path, namespace: str, *, force: bool = False) -> None:
        self.path, self.namespace = path, namespace
        self.files: dict[str, Path] = {}
        self.lines: Mapping[str, Sequence[int]] = {}
        self.aside: dict[Path, Counter[str]] = {}
        self.first: dict[tuple[Path, str], str] = {}
        self.says: dict[Path, Mapping[str, str]] = {}
        self.rows: Counter[Path] = Counter()
        self.unread: dict[Path, set[int]] = {}
        self._took: Counter[tuple[Path, tuple[str, ...]]] = Counter()
        self._of_all: set[tuple[Path, int]] = set()
        self.counts: Counter[str] = Counter()
        self._open = contextlib.ExitStack()
        try:
            path.mkdir(parents=True, exist_ok=True)
            there = {found.name for found in path.iterdir()}
            if there and SUMMARY not in there and not force:
                raise ShadowbusError(
                    f"{path} is not empty, and not a backtest's: name another folder with --out, or add --force."
                )
            self.summarize({"complete": False})
            self.written: dict[str, IO[bytes]] = {
                topic: self._open.enter_context((path / f"{topic}.jsonl").open("wb", BUFFER)) for topic in FILES
            }
        except OSError as error:
            self._open.close()
            raise ShadowbusError(f"{error.filename or path} cannot be written: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(self, topic: str, values: Iterable[bytes | None]) -> None:
        """Append records."""
        kept = [value for value in values if value is not None]
        self.counts[topic] += len(kept)
        if kept:
            self._append(topic, b"\n".join(kept) + b"\n")

    def reads(self, path: Path, says: Mapping[str, str]) -> None:
        """Note how the columns of a file are read."""
        self.says[path] = {**self.says.get(path, {}), **says}

    def took(self, path: Path, topics: Sequence[str], rows: int) -> None:
        """Count rows; a file that is read for a shadow's predictions too counts once."""
        self._took[path, tuple(topics)] += rows
        self.rows[path] = max(self.rows[path], self._took[path, tuple(topics)])

    def set_aside(self, path: Path, topic: str, bad: BadRow) -> None:
        """Keep a row that is no record, as a dead letter with its file and line; once where it is none of any topic."""
        if not topic:
            if (path, bad.line) in self._of_all:
                return
            self._of_all.add((path, bad.line))
        source = f"{self.namespace}.{topic}" if topic else ""
        letter = dead_letter(source, 0, bad.line, bad.key, bad.value, reason=bad.reason, now_ms=0)
        self._keep(path, bad.line, bad.reason, loads(letter), bad.group)

    def keep_letters(self, values: Iterable[bytes | None]) -> None:
        """Keep dead letters of stages; an offset of an input is the line."""
        for value in values:
            letter = loads(value or b"{}")
            topic, line = str(letter.get("topic", "")).removeprefix(f"{self.namespace}."), letter.get("offset")
            if topic in self.lines and line is not None:
                line = self.lines[topic][line]
            self._keep(self.files.get(topic), line, str(letter.get("reason")), letter)

    def share_aside(self) -> dict[Path, float]:
        """Of each file the share of rows that could not be used, from 0 to 1."""
        return {path: min(1.0, len(lines) / max(1, self.rows[path])) for path, lines in self.unread.items()}

    def reasons(self, path: Path) -> dict[str, int]:
        """Why rows of a file were set aside, and how many, most first; of reasons of one kind the first is named."""
        return {self.first[path, group]: count for group, count in self.aside[path].most_common()}

    def commonest(self) -> str:
        """The commonest reason of bad rows, in brackets; "" where there are none."""
        found = [(count, reason) for path in self.aside for reason, count in self.reasons(path).items()]
        return f" ({max(found)[1]})" if found else ""

    def summarize(self, document: Mapping[str, Any]) -> None:
        """Write `backtest.json`."""
        (self.path / SUMMARY).write_bytes(dumps({"v": 1, **document}, option=OPT_INDENT_2) + b"\n")

    def _keep(
        self, path: Path | None, line: int | None, reason: str, letter: Mapping[str, Any], group: str = ""
    ) -> None:
        place = {} if path is None else {"file": str(path), "line": line}
        where, kind = path or Path("between stages"), group or reason
        self.first.setdefault((where, kind), reason)
        self.aside.setdefault(where, Counter())[kind] += 1
        if path is not None and line is not None and reason != DUPLICATE:
            self.unread.setdefault(path, set()).add(line)
        self.write("dead-letters", [dumps({**place, **letter})])

    def _append(self, topic: str, text: bytes) -> None:
        try:
            self.written[topic].write(text)
        except OSError as error:
            raise ShadowbusError(f"{self.path} cannot be written: {error.strerror}.") from error
