"""What a worker reports to its metrics: a few calls a batch, none a record. `worker.py` connects the exporter."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from shadowbus.stage import Input, Outputs, RecordBatch


class WorkerMeter(Protocol):
    """Counts what one worker does; all calls come from the loop's thread."""

    def turned(self, now: float) -> None:
        """The loop began another turn, at `now` monotonic seconds."""

    def took(self, batches: Iterable[RecordBatch]) -> None:
        """The stage is about to get this input."""

    def wrote(self, outputs: Outputs) -> None:
        """These records went to the producer."""

    def committed(self, seconds: float, now_ms: int) -> None:
        """A commit has ended at `now_ms`; it took this many seconds."""

    def lagging(self, lags: Mapping[Input, int]) -> None:
        """The number of unread records by input, as far as known."""

    def holds(self, partitions: int) -> None:
        """The worker holds this many partitions now."""

    def restarted(self) -> None:
        """The worker starts again from what is committed."""
