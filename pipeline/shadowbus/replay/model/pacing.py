"""How many rows to ask a model at once, how long they may take, and how a fresh worker is warmed up.

In: how long answers took, and how large they were. Out: the size of the next chunk, and its time limit. Each worker is
a fork of a server that has never predicted (decision 4), so each is cold: libraries load parts of themselves when they
are first used. For most models that costs milliseconds. Where the first question after a load took longer than a
question may, one of its rows is asked first of every later worker, with time enough: otherwise, after one crash, each
row would be late and end the next worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shadowbus.replay.model.forked_worker import ForkedWorker
from shadowbus.replay.model.messages import MAX_FRAME_BYTES, Answers, pack_question

FIRST_ROWS = 64
"""How many rows to ask at once before it is known how long one takes."""

CHUNK_SECONDS = 1.0
"""The least time that several rows together have: a machine that is busy for a moment is not a model that hangs."""

WARM_UP_SECONDS = 5.0
"""The least time that the first question after loading has."""

PATIENCE = 2.0
"""How many times as long as the first time the warm-up may take."""

NEWEST = 0.2
"""The weight of the newest answer in the time that a row takes."""


class Pace:
    """The size and the time limit of chunks.

    `cold` says that the model has not answered since it was loaded.

    Args:
        timeout: What the settings allow one row, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.cold = True
        self._row_seconds: float | None = None
        self._row_bytes = 0.0

    def rows(self, most: int) -> int:
        """How many rows to ask at once: a chunk takes at most a quarter of the time limit, and of a frame."""
        in_time = FIRST_ROWS if self._row_seconds is None else int(self.timeout / 4 / self._row_seconds)
        in_size = int(MAX_FRAME_BYTES / 4 / max(1.0, self._row_bytes))
        return max(1, min(most, in_time, in_size))

    def usual(self, rows: int) -> float:
        """The time limit of a warm model in seconds; one row alone has exactly what the settings allow."""
        return self.timeout if rows == 1 else max(CHUNK_SECONDS, 2 * self.timeout)

    def limit(self, rows: int, patience: float) -> float:
        """The time limit in seconds: a cold model has more, but no more than half of the patience that is left."""
        seconds = self.usual(rows)
        return max(seconds, min(WARM_UP_SECONDS, patience / 2)) if self.cold else seconds

    def heard(self, rows: int, size: int) -> None:
        """An answer of this many bytes came to so many rows."""
        self._row_bytes = max(0.8 * self._row_bytes, size / rows)
        self.cold = False

    def took(self, rows: int, seconds: float) -> None:
        """A warm model took this long. What the first question took says nothing about the next one."""
        known, each = self._row_seconds, seconds / rows
        self._row_seconds = each if known is None else (1 - NEWEST) * known + NEWEST * each


@dataclass(slots=True)
class WarmUp:
    """A request that was answered, and how many seconds that took; 0 where no warm-up is needed."""

    key: bytes = b""
    value: bytes = b""
    seconds: float = 0.0

    def note(
        self, keys: Sequence[bytes], values: Sequence[bytes], answers: Answers, seconds: float, usual: float
    ) -> None:
        """The first question after a load took `seconds`; later ones of as many rows may take `usual`."""
        good = next((row for row in range(len(keys)) if row not in answers.failed and row not in answers.malformed), -1)
        self.seconds = 0.0
        if seconds > usual and good >= 0:
            self.key, self.value, self.seconds = keys[good], values[good], seconds

    def warm(self, worker: ForkedWorker) -> bool:
        """Warm a fresh worker up; returns whether it answered. The answer itself is not used."""
        if not self.seconds:
            return True
        worker.ask(pack_question([self.key], [self.value], 0.0), 1)
        return worker.next_answer(PATIENCE * self.seconds) is not None
