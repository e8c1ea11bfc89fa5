"""Starting programs under measurement, and ending them without leaving anything behind."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil


class CandidateFailedError(Exception):
    """A program ended, or did not get there in time; the text ends with its last words."""


@contextlib.contextmanager
def started(commands: Sequence[Sequence[str]], log: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes whose words go to `log`, never to the results on stdout; ended, with their children, at the end."""
    environment = {**os.environ, "TMPDIR": str(log.parent)}  # what they leave behind goes when the folder goes
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("ab") as words:
            processes.extend(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=environment)
                for command in commands
            )
        yield processes
    finally:
        for process in processes:
            end(process)


def end(process: subprocess.Popen[bytes], patience_s: float = 20) -> None:
    """Ask a process to end; kill it, and what is left of its children, when it does not."""
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(children, timeout=5)[1]:
        with contextlib.suppress(psutil.Error):
            child.kill()


def last_words(log: Path, lines: int = 12) -> str:
    """The end of a log."""
    said = log.read_text(errors="replace").strip().splitlines()[-lines:] if log.exists() else []
    return "Its last words:\n  " + "\n  ".join(said) if said else "It said nothing."


def say(text: str) -> None:
    """Tell whoever waits how far it is; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)
