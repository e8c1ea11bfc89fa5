"""What a stage is: record batches in, records out, and the input positions that are committed with them.

A stage knows nothing of Kafka. `kafka/worker/loop.py` runs any stage over real topics, exactly once; unit tests run the
same objects over lists and say what time it is. `tests/unit/test_stage_contract.py` holds every stage to this contract.
"""

# ruff: noqa: B027  # an empty method is the right default: it is what a stage without state does

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Input = tuple[str, int]
"""One partition of one topic, by the topic's name in `topology.py`: ("requests", 3)."""

Row = tuple[int, bytes | None, bytes | None]
"""One record to write: partition, key, value."""

StampedRow = tuple[int, bytes | None, bytes | None, int]
"""The same with the timestamp that Kafka keeps, in milliseconds since the epoch (0: the time of writing)."""


@dataclass(slots=True)
class RecordBatch:
    """Records of one partition in offset order, as columns of equal length."""

    topic: str
    partition: int
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    @property
    def input(self) -> Input:
        """The partition these records come from."""
        return self.topic, self.partition

    @property
    def next_offset(self) -> int:
        """The offset that follows the last record."""
        return self.offsets[-1] + 1

    def part(self, start: int, end: int | None = None) -> "RecordBatch":
        """The records from one index to another."""
        columns = (self.keys, self.values, self.timestamps, self.offsets)
        return RecordBatch(self.topic, self.partition, *(column[start:end] for column in columns))  # type: ignore[arg-type]


@dataclass(slots=True)
class Outputs:
    """The records that a call to a stage produced, and the input positions that they account for.

    Everything in `records` is committed in one transaction with `positions`, or not at all. A stage
    with work in flight (replay asks its model asynchronously) returns positions that lag behind its input.
    """

    records: dict[str, list[Row]] = field(default_factory=dict)
    positions: dict[Input, int] = field(default_factory=dict)
    stamped: dict[str, list[StampedRow]] = field(default_factory=dict)

    def add(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Append one record."""
        self.records.setdefault(topic, []).append((partition, key, value))

    def extend(self, topic: str, rows: Iterable[Row]) -> None:
        """Append many records."""
        self.records.setdefault(topic, []).extend(rows)

    def __bool__(self) -> bool:
        return bool(self.records or self.positions or self.stamped)


class Stage(ABC):
    """One stage over the partitions that this worker holds: built on assignment, dropped on revocation.

    Only `process` must be implemented; the other methods do what is right for a stage without state. The order of calls
    is: `restore` for the changelog, `resume_at` once, `reread` for the input that it asked for, `lost` once; then
    `process` and `tick` as input and time come, `checkpoint` before and `committed` after each commit; `drain` before
    the partitions are handed over; `close` last. All calls come from one thread at a time. No method may use Kafka or
    ask the time.
    """

    def restore(self, batch: RecordBatch) -> None:
        """Restore state from records of the changelog; called before any other method.

        Raises:
            StateCorruptError: The state contradicts itself.
        """

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """Return the position of each input up to which the state has applied it, if that is below the committed one.

        Called once, after the whole changelog. `reread` gets the records from there to the committed position.

        Raises:
            StateCorruptError: The state contradicts itself, or is ahead of the committed positions.
        """
        return {}

    def reread(self, batch: RecordBatch) -> None:
        """Apply input to the state once more; its outputs are already committed.

        Raises:
            StateCorruptError: The state contradicts itself.
        """

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Account for input records that Kafka deleted before they were read; called once, with counts by input.

        They must appear in the account books. The next commit moves past them.
        """

    @abstractmethod
    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Process input; may block as long as the model's deadlines allow. Must not raise for a malformed record."""

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Let time pass. `lags` is the number of unread records by input; 0 means that Kafka has no more."""
        return Outputs()

    def drain(self, now_ms: int) -> Outputs:
        """Finish all work in flight, so that the positions catch up with the input."""
        return Outputs()

    def checkpoint(self, now_ms: int) -> Outputs:
        """Return the changelog records of all state changes since the last commit; called right before each commit."""
        return Outputs()

    def committed(self) -> None:
        """Everything returned so far is committed: local state may be written now."""

    def paused(self) -> frozenset[Input]:
        """Return the inputs that must not be read for now, because they are too far ahead."""
        return frozenset()

    def close(self) -> None:
        """Release all resources. Called once, also after an abort."""
