"""How the columns of one file are read, and rows read so. Found out from the first rows, before any record is made."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shadowbus.backtest.cells.times import TimeType, time_type
from shadowbus.backtest.cells.types import MISSING_TEXTS, CellType, cell_types
from shadowbus.backtest.files.table import Batch, Table
from shadowbus.settings.backtest import BacktestSettings

SAMPLE_ROWS = 10_000
"""How many rows show how a column is read."""

SAMPLE_BATCHES = 20
"""Where a column has nothing in them: at most so many times as many."""

_WHOLE = re.compile(r"-?\d+\.0+")


def sample_of(open_again: Callable[[], Table], wanted: Callable[[Batch], Iterable[str]]) -> Batch:
    """The first rows of a file, opened for nothing else; of columns that are empty there, the first cells that are not.

    Args:
        open_again: Opens it.
        wanted: The columns that matter, of a batch.
    """
    table = open_again()
    try:
        batches = table.batches(SAMPLE_ROWS)
        sample = next(batches, Batch([]))
        columns = dict(sample.columns)
        empty = {name for name in wanted(sample) if table.text_cells and _is_empty(columns.get(name, ("x",)))}
        for _, batch in zip(range(SAMPLE_BATCHES), batches if empty else (), strict=False):
            for name in [name for name in empty if not _is_empty(batch.columns[name])]:
                columns[name] = batch.columns[name]
                empty.remove(name)
            if not empty:
                break
        return replace(sample, columns=columns)
    finally:
        table.close()


def _is_empty(cells: Iterable[str]) -> bool:
    return all(cell.strip() in MISSING_TEXTS for cell in cells)


class TypedColumns:
    """How the columns of one file are read.

    Args:
        path: The file, for errors.
        settings: What they say otherwise than the cells.
        table: The file.
        sample: Its first rows.
        used: The columns that records are made of.
        answers: Those of them whose texts are names of something: spaces around these are nothing.
        times: The columns of times.

    Raises:
        SettingsError: The first rows leave open how a time is read.
    """

    def __init__(
        self,
        path: Path,
        settings: BacktestSettings,
        table: Table,
        sample: Batch,
        used: Sequence[str],
        answers: frozenset[str],
        times: Sequence[str],
    ) -> None:
        self.settings, self.nameless = settings, table.nameless
        self.id, self.text_cells = settings.request_id, table.text_cells
        self.types: dict[str, CellType] = {}
        if table.text_cells:
            cells = {name: sample.columns[name] for name in used if name in sample.columns}
            semicolons = getattr(table, "comma", ",") == ";"
            self.types = cell_types(cells, settings, answers, semicolons=semicolons)
        self.times: dict[str, TimeType] = {
            name: time_type(name, self._present(sample.values(name)), settings, path) for name in times if name
        }
        ids = self._present(sample.values(self.id))
        self.whole_ids = table.text_cells and bool(ids) and all(_WHOLE.fullmatch(one.strip()) for one in ids)

    def says(self) -> dict[str, str]:
        """How each column is read, in words."""
        ids = {self.id: "request id, 17.0 as 17" if self.whole_ids else "request id"} if self.id else {}
        times = {name: one.says for name, one in self.times.items()}
        nameless = {f"column {number}": "has no name, and is left out" for number in self.nameless}
        return ids | times | {name: one.says for name, one in self.types.items()} | nameless

    def read(self, batch: Batch) -> Batch:
        """N rows or fewer: those with a cell that does not fit are among the bad."""
        typed: dict[str, Sequence[Any]] = dict(batch.columns)
        unfit: dict[int, str] = {}
        groups: dict[int, str] = {}
        for name, one in self.types.items():
            typed[name], wrong = one.read(batch.columns[name])
            for index, cell in wrong.items():
                groups.setdefault(index, name)
                unfit.setdefault(index, _unfit(name, one.says, cell))
        found = replace(batch, columns=typed)
        if unfit:
            found, batch = found.without(unfit, groups, batch), replace(batch, bad=[]).without(unfit)
        found.ids = self._ids(batch)
        found.times = {name: one.moments(name, self._cells(batch, name)) for name, one in self.times.items()}
        return found

    def _ids(self, batch: Batch) -> list[str | None]:
        if not self.id:
            return list(map(str, batch.lines))
        values = batch.values(self.id)
        if not self.text_cells:
            return list(map(_id, values))
        ids = [None if cell is None or cell.strip() in MISSING_TEXTS else cell.strip() for cell in values]
        return (
            [one.partition(".")[0] if one and _WHOLE.fullmatch(one) else one for one in ids] if self.whole_ids else ids
        )

    def _cells(self, batch: Batch, name: str) -> Sequence[Any]:
        values = batch.values(name)
        return [None if cell in MISSING_TEXTS else cell for cell in values] if self.text_cells else values

    def _present(self, values: Sequence[Any]) -> list[Any]:
        return [
            value for value in values if value is not None and not (self.text_cells and value.strip() in MISSING_TEXTS)
        ]


def _unfit(name: str, says: str, cell: str) -> str:
    way_out = (
        "list it in backtest.text or backtest.numbers"
        if says.startswith("empty")
        else "list it in backtest.text to keep its cells as they are"
    )
    return f"column {name!r} is read as {says}, and {cell[:60]!r} is none: {way_out}"


def _id(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or value == "" or isinstance(value, bool) else str(value)
