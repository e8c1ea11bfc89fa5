"""The folder a backtest writes: files of JSON lines, one for each topic, and `backtest.json`, which says what it is."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Self

from orjson import OPT_INDENT_2, dumps, loads

from shadowbus.backtest.batch import BadRow
from shadowbus.dead_letters import dead_letter
from shadowbus.errors import ShadowbusError

FILES = ("comparisons", "outcomes", "aggregates", "verdicts", "looks", "dead-letters")
SUMMARY = "backtest.json"
BUFFER = 1 << 20


class Folder:
    """An output folder, open.

    Args:
        path: Where.
        namespace: What stands before topics' names in dead letters.
        force: Whether a folder that holds something else may be used.

    Raises:
        ShadowbusError: It holds something else, or cannot be written.
    """

    def __init__(self, path: Path, namespace: str, *, force: bool = False) -> None:
        self.path, self.namespace = path, namespace
        self.files: dict[str, Path] = {}
        self.aside: dict[Path, Counter[str]] = {}
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

    def set_aside(self, path: Path, topic: str, bad: BadRow) -> None:
        """Keep a row that is no record, as a dead letter with its file and line."""
        source = f"{self.namespace}.{topic}" if topic else ""
        letter = dead_letter(source, 0, bad.line, bad.key, bad.value, reason=bad.reason, now_ms=0)
        self._keep(path, bad.line, bad.reason, loads(letter))

    def keep_letters(self, values: Iterable[bytes | None]) -> None:
        """Keep dead letters of stages; an offset of an input is the line."""
        for value in values:
            letter = loads(value or b"{}")
            path = self.files.get(str(letter.get("topic", "")).removeprefix(f"{self.namespace}."))
            self._keep(path, letter.get("offset"), str(letter.get("reason")), letter)

    def summarize(self, document: Mapping[str, Any]) -> None:
        """Write `backtest.json`."""
        (self.path / SUMMARY).write_bytes(dumps({"v": 1, **document}, option=OPT_INDENT_2) + b"\n")

    def _keep(self, path: Path | None, line: int | None, reason: str, letter: Mapping[str, Any]) -> None:
        place = {} if path is None else {"file": str(path), "line": line}
        self.aside.setdefault(path or Path("between stages"), Counter())[reason] += 1
        self.write("dead-letters", [dumps({**place, **letter})])

    def _append(self, topic: str, text: bytes) -> None:
        try:
            self.written[topic].write(text)
        except OSError as error:
            raise ShadowbusError(f"{self.path} cannot be written: {error.strerror}.") from error
