"""`shadowbus export`: a topic as it stands now, in a file of JSON lines or Parquet."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shadowbus.cli.console import tell
from shadowbus.cli.options import settings_of
from shadowbus.errors import SettingsError

SUFFIXES = (".jsonl", ".parquet")


def export(
    context: typer.Context,
    topic: Annotated[str, typer.Option(metavar="TOPIC", help="Such as comparisons, outcomes or verdicts.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends with .jsonl or .parquet.")],
) -> None:
    """Write every record of a topic to a file."""
    settings = settings_of(context)
    from shadowbus.reading import TOPICS, read

    kinds = {known.name: kind for kind, known in TOPICS.items()}
    if topic not in kinds:
        raise SettingsError(f"There is no topic {topic!r} to export; there are {', '.join(kinds)}.")
    if out.suffix not in SUFFIXES:
        raise SettingsError(f"{out} has to end with {' or '.join(SUFFIXES)}.")
    part = out.with_name(f"{out.name}.part")
    try:
        records: Iterator[Any] = read(settings, kinds[topic])
        count = _write_lines(records, part) if out.suffix == ".jsonl" else _write_columns(records, kinds[topic], part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    tell(f"{count} {topic} in {out}")


def _write_lines(records: Iterable[Any], path: Path) -> int:
    count = 0
    with path.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(dataclasses.asdict(record), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def _write_columns(records: Iterable[Any], kind: type, path: Path) -> int:
    from shadowbus.records.parquet import write_parquet

    return write_parquet(records, kind, path)
