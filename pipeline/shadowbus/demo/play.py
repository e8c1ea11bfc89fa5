"""The demo while it runs: looks, shows, and knows when every request is accounted for."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.live import Live

from shadowbus.clock import Deadline, monotonic
from shadowbus.demo.actors import Actors
from shadowbus.demo.evidence import Evidence, Trial
from shadowbus.demo.patience import Patience, TooLateError
from shadowbus.demo.scenario import CAST
from shadowbus.demo.screen import Frame, draw, line
from shadowbus.demo.summary import End

FRAME_S = 0.25
TAP_S = 1.0
LINE_S = 5.0
DRAIN_S = 60.0


class Play:
    """Watches one run of the traffic."""

    def __init__(self, console: Console, patience: Patience, actors: Actors, evidence: Evidence, began: float) -> None:
        self._console = console
        self._patience = patience
        self._actors = actors
        self._evidence = evidence
        self._began = began
        self._twin_runs = True
        self._tap: Mapping[str, Any] = {}
        self._tap_at = 0.0

    def watch(self, seconds: float) -> End:
        """Show how it goes until all is accounted for, or the time for that is over.

        Raises:
            Interrupted: The end was asked for.
            TooLateError: A service or the traffic ended by itself.
        """
        with self._shown() as show:
            while self._actors.progress().phase != "done":
                self._look(show, seconds)
            deadline = Deadline.after(DRAIN_S)
            while not self._drained() and not deadline.passed:
                self._look(show, seconds)
            self._look(show, seconds)
        return End(self._actors.progress(), self._actors.tap(), self._trials())

    def _look(self, show: Callable[[Frame], None], seconds: float) -> None:
        if fallen := self._actors.fallen():
            raise TooLateError(fallen)
        progress = self._actors.progress()
        if self._twin_runs and progress.phase in ("traffic", "labels", "done"):
            self._actors.end("twin")
            self._twin_runs = False
        doing = {
            "starting": "customers are on their way",
            "pairs": "measuring what the tap costs, in paired calls",
            "traffic": f"customers call for {seconds:.0f} s",
            "labels": "the last labels are on their way",
            "done": "waiting until every request is accounted for",
        }.get(progress.phase, progress.phase)
        now = monotonic()
        if now - self._tap_at >= TAP_S:
            self._tap, self._tap_at = self._actors.tap(), now
        show(Frame(now - self._began, doing, self._actors.page, progress, self._tap, self._trials()))
        self._patience.pause(FRAME_S)

    def _drained(self) -> bool:
        requests = int(self._actors.tap().get("requests", 0))
        return all(trial.settled_at(requests) for trial in self._trials().values())

    def _trials(self) -> dict[str, Trial]:
        return {part.shadow: self._evidence.trial(part.trial) for part in CAST}

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Callable[[Frame], None]]:
        """A function that shows a frame: on a live screen, or every few seconds as a line."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
                yield lambda frame: live.update(draw(frame, self._console.width), refresh=True)
            return
        shown_at = [-LINE_S]

        def tell(frame: Frame) -> None:
            if frame.elapsed_s - shown_at[0] >= LINE_S:
                shown_at[0] = frame.elapsed_s
                self._console.print(line(frame), soft_wrap=True)

        yield tell
