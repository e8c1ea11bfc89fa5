"""The command line in a process of its own, at the price of a fork: one server has imported everything already."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "shadowbus.cli.program",
        "shadowbus.cli.read.overview",
        "shadowbus.replay.worker",
        "shadowbus.judge.worker",
        "shadowbus.aggregate.worker",
        "shadowbus.agents.agents",
        "shadowbus.decide.verify",
        "shadowbus.rekey.worker",
        "shadowbus.notify.worker",
        "shadowbus.doctor.gather",
        "shadowbus.kafka.read.topic",
        "shadowbus.kafka.read.ranges",
        "shadowbus.labelling.queue",
        "shadowbus.report.document",
        "shadowbus.slices.search",
    ]
)


@dataclass(frozen=True)
class Forked:
    """One call of the command line."""

    config: Path
    process: ForkServerProcess
    out: Path
    err: Path

    def ended(self, seconds: float) -> int:
        """Its exit code, once it has ended by itself."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"it goes on after {seconds} s: {self.said()}"
        return self.process.exitcode

    def said(self) -> str:
        """What it wrote to standard error."""
        return self.err.read_text(errors="replace") if self.err.exists() else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@contextlib.contextmanager
def forked(config: Path, words: Sequence[str], name: str, *, unchecked: bool = False) -> Iterator[Forked]:
    """Run the command line until the body ends.

    Args:
        config: The settings file; what is said goes to files beside it.
        words: From the verb on.
        name: Of those files; they are gone on with.
        unchecked: Without the look at the start that says which rights are missing: Kafka itself has to miss them.
    """
    out, err = config.with_name(f"{name}.out"), config.with_name(f"{name}.err")
    arguments = ("--config", str(config), *words)
    process = _CONTEXT.Process(target=_run, args=(arguments, str(out), str(err), unchecked))
    process.start()
    one = Forked(config, process, out, err)
    try:
        yield one
    finally:
        one.kill()


def _run(arguments: tuple[str, ...], out: str, err: str, unchecked: bool) -> None:
    os.setsid()
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
    from shadowbus.agents import agents
    from shadowbus.cli.program import run
    from shadowbus.kafka import permissions

    if unchecked:
        permissions.check_start = agents.check_start = lambda *_: None  # type: ignore[attr-defined]
    sys.exit(run(arguments))
