"""The preparations, one line each: what is being done, and how long it took."""

import contextlib
from collections.abc import Iterator

from rich.console import Console

from shadowbus.clock import monotonic


class Steps:
    """Tells the steps of a preparation as they go."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Tell one step; nothing is told of its end when it fails or is interrupted."""
        started = monotonic()
        with self._console.status(f"{doing} …") if self._console.is_terminal else contextlib.nullcontext():
            yield
        self._console.print(f"  [green]✔[/] {doing} [dim]{monotonic() - started:.1f} s[/]")
