"""What one worker has done, counted as it goes: a few additions per batch, none per record. Pure.

The loop that runs a stage calls this; another thread reads it when Prometheus asks. Account books and what the model
costs are not counted anew: they are in the vitals records that pass by on their way to Kafka.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shadowbus.exporter.metrics import COMMIT_BUCKETS
from shadowbus.stage import Input, Outputs, RecordBatch


@dataclass(slots=True)
class Meter:
    """The numbers of one worker, since it began."""

    stage: str = ""
    shadow: str = ""
    worker: str = ""
    read: Counter[str] = field(default_factory=Counter)  # by topic
    written: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    began_again: int = 0
    commits: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BUCKETS) + 1))  # by bucket
    commit_seconds: float = 0.0
    last_commit_ms: int = 0
    turned_at: float | None = None  # monotonic seconds; None until the loop turns for the first time
    unpublished_ms: int = 0  # of the agents: since when something that was read waits; 0: nothing does
    held: int = 0
    lags: Mapping[Input, int] = field(default_factory=dict)
    vitals: dict[int, bytes] = field(default_factory=dict)  # the newest record of each source partition

    def turned(self, now: float) -> None:
        """The loop has gone round once more, with work or without."""
        self.turned_at = now

    def took(self, batches: Iterable[RecordBatch]) -> None:
        """The stage is about to get this input."""
        self.batches += 1
        for batch in batches:
            self.read[batch.topic] += len(batch.offsets)

    def wrote(self, outputs: Outputs) -> None:
        """Records were handed to Kafka."""
        for topic, rows in outputs.records.items():
            self.written[topic] += len(rows)
            if topic == "vitals":
                self.vitals.update({partition: value for partition, _, value in rows if value is not None})
        for topic, stamped in outputs.stamped.items():
            self.written[topic] += len(stamped)

    def committed(self, seconds: float, now_ms: int) -> None:
        """A commit has ended, and took so long."""
        self.commits[bisect_left(COMMIT_BUCKETS, seconds)] += 1
        self.commit_seconds += seconds
        self.last_commit_ms = now_ms

    def lagging(self, lags: Mapping[Input, int]) -> None:
        """The number of unread records by input, as far as known."""
        self.lags = lags

    def restarted(self) -> None:
        """The worker starts again from what is committed."""
        self.began_again += 1

    def holds(self, partitions: int) -> None:
        """These are the partitions now; what was known of others is forgotten."""
        self.held, self.lags, self.vitals = partitions, {}, {}
