"""The demo, from nothing to four verdicts: `shadowbus demo`.

In: how long, and how many requests a second. Out: an exit code: 0 if the books of all four trials close, production
had no errors and the verdicts are as expected (or honestly still open, after little traffic); 1 if not, with the
reason; 130 after Ctrl-C. Guaranteed: whatever happens, to this process too, nothing that was started stays, nor a file.

This module says what one is about to see and cleans up in the end; all that takes long to import comes in between.
"""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from shadowbus.demo.patience import Interrupted, Patience
from shadowbus.errors import ShadowbusError
from shadowbus.processes.signals import stop_on_signals

INTRODUCTION = (
    "You are about to see a small production service that reads handwritten digits, and in its shadow four models that "
    "are asked the same: a better one, a worse one, one that crashes, and the champion itself. No customer ever sees "
    "their answers; within a minute each of them gets a verdict, and in the end every request is accounted for.\n"
)
IMPORT_S = 60.0
WIDTH = 118
INTERRUPTED = 130
LAST_WORDS = 6

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run_demo(*, seconds: float = 90, rate: float = 60, keep: bool = False) -> int:
    """Run the demo. Runs in the main thread, whose signal handlers it borrows.

    Args:
        seconds: How long traffic is made for.
        rate: Requests per second, on average.
        keep: Leave everything running at the end, until Ctrl-C.

    Returns:
        The exit code.
    """
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    with stop_on_signals() as stop, _folder() as folder:
        patience = Patience(stop)
        try:
            with contextlib.ExitStack() as opened:
                console.print(INTRODUCTION)
                perform = patience.result(patience.beside(_import, "import"), IMPORT_S, "Python's imports")
                try:
                    return perform(console, patience, folder, opened, seconds=seconds, rate=rate, keep=keep)
                finally:
                    console.print("\nEnding everything …", style="dim")
        except Interrupted:
            return INTERRUPTED
        except ShadowbusError as error:
            console.print(f"\nThe demo failed: {error}", style="bold red", markup=False)
            console.print(_last_words(folder), markup=False)
            return 1


def _import() -> Callable[..., int]:
    from shadowbus.demo.performance import perform

    return perform


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for all files of the demo; logs go there too, and numerical libraries of all children use one thread."""
    folder = Path(tempfile.mkdtemp(prefix="shadowbus-demo-"))
    root, before = logging.getLogger(), {name: os.environ.get(name) for name in THREADS}
    handlers, root.handlers = root.handlers, [logging.FileHandler(folder / "demo.log")]
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield folder
    finally:
        root.handlers[0].close()
        root.handlers = handlers
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(folder: Path) -> str:
    """What the logs end with."""
    said = []
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said += [f"{log.stem}: {line}" for line in lines[-LAST_WORDS:]]
    return "\n".join(said)
