"""Records of a topic to look through: from the topic's end, or from a file of JSON lines such as a backtest writes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shadowbus.cli.options import settings_of
from shadowbus.clock import Deadline
from shadowbus.errors import ShadowbusError

if TYPE_CHECKING:
    from shadowbus.topology import Topic

READ_SECONDS = 300.0
MOST = 200_000

OneTrial = Annotated[
    str | None, typer.Option(metavar="TRIAL", help="One of its trials; the newest if absent.", show_default=False)
]
Most = Annotated[int, typer.Option("--limit", min=1_000, metavar="N", help="At most N newest records of each topic.")]
ComparisonsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Read comparisons from JSON lines, not the topic.", show_default=False),
]


def recorded(context: typer.Context, topic: "Topic", file: Path | None, most: int) -> Iterator[bytes]:
    """The newest values of a topic, at most about so many; or all lines of a file that are not empty.

    Raises:
        BrokerError: The topic cannot be read.
        ShadowbusError: The file cannot be.
    """
    if file is None:
        from shadowbus.kafka.read.topic import read_tail

        yield from read_tail(settings_of(context), topic, most, Deadline.after(READ_SECONDS))
        return
    try:
        with file.open("rb") as lines:
            yield from filter(None, map(bytes.strip, lines))
    except OSError as error:
        raise ShadowbusError(f"{file} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def busy(doing: str) -> Iterator[None]:
    """Something moves on the terminal while this takes; nowhere else."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(doing):
        yield
