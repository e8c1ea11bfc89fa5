"""What a stage is: records in, records out, positions that travel with them. No Kafka in sight.

`kafka/worker/loop.py` runs any stage over real topics; unit tests run the same objects over lists, clock in hand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Input = tuple[str, int]
"""One partition of one topic, by the topic's name in `topology.py`: ("requests", 3)."""

Row = tuple[int, bytes | None, bytes | None]
"""One record to be written: partition, key, value."""

StampedRow = tuple[int, bytes | None, bytes | None, int]
"""The same with the time that Kafka shall keep with it, in milliseconds since the epoch (0: when it is written)."""


@dataclass(slots=True)
class Slice:
    """Records of one partition in the order of their offsets, as columns of equal length."""

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

    def part(self, start: int, end: int | None = None) -> "Slice":
        """The records from one index to another."""
        columns = (self.keys, self.values, self.timestamps, self.offsets)
        return Slice(self.topic, self.partition, *(column[start:end] for column in columns))  # type: ignore[arg-type]


@dataclass(slots=True)
class Outputs:
    """What a call to a stage produced, and the input positions it accounts for.

    Everything in `records` is committed in one transaction with `positions`, or not at all. A stage that works ahead
    (replay asks its model asynchronously) returns positions that lag behind what it was given.
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


class Stage(Protocol):
    """One stage over the partitions this worker holds now: built on assignment, dropped on revocation.

    Methods are called from one thread. None may touch Kafka or ask the time.
    """

    def restore(self, records: Slice) -> None:
        """Take back kept state, before any input: first all of the changelog, then what `resume_at` asked for.

        Raises:
            StateCorruptError: The state contradicts itself.
        """

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """Up to where the state has applied each input, where that is less than what is committed.

        Called once, after all of the changelog. What is missing up to the committed position is given to `restore`.

        Raises:
            StateCorruptError: The state contradicts itself, or goes beyond what is committed.
        """

    def lost(self, records: Mapping[Input, int]) -> None:
        """How many records of each input Kafka deleted before they were read; called once, after `restore`.

        They have to show in the account books. The next commit stands behind them.
        """

    def process(self, batch: list[Slice], now_ms: int) -> Outputs:
        """Take one batch of input; may block as long as the model's deadlines allow; never raises for a bad record."""

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Let time pass. `lags` says how many records of each input are not yet read; 0 means none is left."""

    def drain(self, now_ms: int) -> Outputs:
        """Finish whatever is under way, so that the positions catch up with all input taken."""

    def checkpoint(self, now_ms: int) -> Outputs:
        """What has to be kept of the state's changes since the last commit; called right before each commit."""

    def committed(self) -> None:
        """Everything returned so far is committed: local state may be written."""

    def paused(self) -> frozenset[Input]:
        """Inputs that are too far ahead and shall not be read for now."""

    def close(self) -> None:
        """Let go of everything. Called once, also after an abort."""
