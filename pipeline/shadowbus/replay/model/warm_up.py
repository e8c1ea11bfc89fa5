"""Lets a fresh worker load what libraries load when they are first used, before its rows are held to their deadline.

Each worker is a fork of a keeper that has never predicted (decision 4), so each is cold. Of most models that costs
milliseconds. Where the first question after a load took longer than a question may, a row of it is asked first of every
later worker, with time enough: or after one crash each row would be late, and bring the next worker down.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shadowbus.replay.model.forked_worker import ForkedWorker
from shadowbus.replay.model.messages import Answers, pack_question

PATIENCE = 2.0
"""So many times as long as the first time it may take."""


@dataclass(slots=True)
class WarmUp:
    """A request that was answered, and how many seconds that took; 0 where there is nothing to wait for."""

    key: bytes = b""
    value: bytes = b""
    seconds: float = 0.0

    def note(
        self, keys: Sequence[bytes], values: Sequence[bytes], answers: Answers, seconds: float, usual: float
    ) -> None:
        """The first question after a load took so many seconds; later ones of as many rows may take `usual`."""
        good = next((row for row in range(len(keys)) if row not in answers.failed and row not in answers.malformed), -1)
        self.seconds = 0.0
        if seconds > usual and good >= 0:
            self.key, self.value, self.seconds = keys[good], values[good], seconds

    def warm(self, worker: ForkedWorker) -> bool:
        """Whether a fresh worker is warm now; what it answers is nobody's."""
        if not self.seconds:
            return True
        worker.ask(pack_question([self.key], [self.value], 0.0), 1)
        return worker.next_answer(PATIENCE * self.seconds) is not None
