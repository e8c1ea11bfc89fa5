"""What is measured: a program that does the job, where it runs, and what it promises."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream import Stream

HERE = Path(__file__).parent

Command = Callable[[Stream, str], Sequence[str]]
"""From a stream and the candidate's own output topic to a command line."""


@dataclass(frozen=True)
class Candidate:
    """One line of the results table.

    Attributes:
        name: As in results.json.
        guarantee: What a crash does to its output, in a few words.
        pairs: How many pairs it is given at most: enough for several seconds of its work.
        command: Starts it.
        outputs: The topics it writes, without the namespace; each gets one record for each pair.
        installed_apart: Whether it needs the virtual environment of the peers.
        compares: Whether its output is comparisons, which can be checked against the model.
    """

    name: str
    guarantee: str
    pairs: int
    command: Command
    outputs: tuple[str, ...]
    installed_apart: bool = False
    compares: bool = True


def peer(name: str, file: str, guarantee: str, pairs: int, *options: str, python: Path | None = None) -> Candidate:
    """A peer of `benchmarks/peers`; with `python`, the one of the peers' virtual environment."""

    def command(stream: Stream, output: str) -> Sequence[str]:
        program = str(python or sys.executable)
        script = str(HERE / "peers" / file)
        return [program, script, stream.bootstrap, stream.namespace, str(stream.bundle), output, *options]

    return Candidate(name, guarantee, pairs, command, (f"{name}-comparisons",), installed_apart=python is not None)


def _shadowbus(stream: Stream, _output: str) -> Sequence[str]:
    return [sys.executable, "-m", "shadowbus", "--config", str(stream.config), "replay", "--shadow", "challenger"]


def _raw_copy(stream: Stream, _output: str) -> Sequence[str]:
    return [sys.executable, str(HERE / "raw_copy.py"), stream.bootstrap, stream.namespace]


ANY = sys.maxsize
SHADOWBUS = Candidate("shadowbus", "exactly once", ANY, _shadowbus, ("comparisons",))
RAW_COPY = Candidate(
    "raw-copy", "exactly once", ANY, _raw_copy, ("copied-requests", "copied-predictions"), compares=False
)


def peers(python: Path) -> list[Candidate]:
    """What a user would pick instead, slowest last.

    Args:
        python: The interpreter of the peers' virtual environment.
    """
    forgets = "loses waiting halves in a crash"
    return [
        peer("bytewax-batched", "bytewax_batched.py", "none: starts anew", 150_000, python=python),
        peer("bytewax-recovery", "bytewax_batched.py", "at least once", 150_000, "recover", python=python),
        peer("bytewax-join", "bytewax_join.py", "none: starts anew", 60_000, python=python),
        peer("plain", "plain_script.py", forgets, 60_000),
        peer("quix-stateful", "quix_stateful.py", "exactly once", 60_000, python=python),
        peer("quix-join", "quix_join.py", "exactly once", 60_000, python=python),
        peer("faust-take", "faust_take.py", forgets, 20_000),
        peer("faust", "faust_tables.py", "at least once", 20_000),
    ]
