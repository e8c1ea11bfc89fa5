"""Buffers records of one partition until both inputs have reached their time.

Requests are several times larger than predictions, so a backlog is read many predictions ahead. Joined as they come,
each of those would wait in the changelog for its request. Buffered here they cost nothing: their offsets are not
committed yet. (Kafka Streams picks the partition with the lowest timestamp for the same reason.) Timestamps decide only
the order: whatever they are, every record is taken once.
"""

from bisect import bisect_right
from collections import deque

from shadowbus.stage import RecordBatch

SIDES = ("requests", "predictions")


class ReorderBuffer:
    """One partition's records of both inputs, in the order of their offsets."""

    def __init__(self) -> None:
        self._held: dict[str, deque[RecordBatch]] = {side: deque() for side in SIDES}
        self.count = dict.fromkeys(SIDES, 0)

    def add(self, records: RecordBatch) -> None:
        """Buffer a batch."""
        self._held[records.topic].append(records)
        self.count[records.topic] += len(records.offsets)

    def newest_ms(self, side: str) -> int:
        """The time of the last record in the buffer, in milliseconds since the epoch; 0 if there is none."""
        held = self._held[side]
        return held[-1].timestamps[-1] if held else 0

    def take(self, *, at_end: dict[str, bool]) -> list[RecordBatch]:
        """Take what may be joined now, requests first.

        Args:
            at_end: By input, whether it is read to its end, so that nothing older can come from it.

        Returns:
            Batches up to the time that both inputs have reached; everything where the other input is at its end.
        """
        requests, predictions = (self._held[side] for side in SIDES)
        if requests and predictions:
            return self._until(min(requests[-1].timestamps[-1], predictions[-1].timestamps[-1]))
        behind = "predictions" if requests else "requests"
        return self._until(None) if at_end[behind] else []

    def _until(self, moment_ms: int | None) -> list[RecordBatch]:
        parsed: list[RecordBatch] = []
        for side, held in self._held.items():
            whole = moment_ms is None or (bool(held) and held[-1].timestamps[-1] <= moment_ms)
            while held:
                records = held[0]
                count = len(records.offsets) if whole else bisect_right(records.timestamps, moment_ms or 0)
                if count < len(records.offsets):
                    if count:
                        first, held[0] = _split(records, count)
                        parsed.append(first)
                        self.count[side] -= count
                    break
                parsed.append(held.popleft())
                self.count[side] -= count
        return parsed


def middle_ms(records: RecordBatch) -> int:
    """The time of the middle record: one odd clock at either end says nothing about all of them."""
    return records.timestamps[len(records.timestamps) // 2]


def _split(records: RecordBatch, count: int) -> tuple[RecordBatch, RecordBatch]:
    """The first `count` records of a slice, and the others."""
    columns = (records.keys, records.values, records.timestamps, records.offsets)
    first, rest = ([column[part] for column in columns] for part in (slice(count), slice(count, None)))
    return RecordBatch(records.topic, records.partition, *first), RecordBatch(records.topic, records.partition, *rest)  # type: ignore[arg-type]
