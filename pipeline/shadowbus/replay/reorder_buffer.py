"""Records of one partition that are read but not yet taken, so that both inputs move through time together.

Requests are several times larger than predictions, so a backlog is read many predictions ahead. Joined as they come,
each of those would wait in the changelog for its request. Held here they cost nothing: their offsets are not committed
yet. (Kafka Streams picks the partition with the lowest timestamp for the same reason.) Timestamps decide only the
order: whatever they are, every record is taken once.
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

    def add(self, piece: RecordBatch) -> None:
        """Hold a slice."""
        self._held[piece.topic].append(piece)
        self.count[piece.topic] += len(piece.offsets)

    def newest_ms(self, side: str) -> int:
        """The time of the last record that is held; 0 if there is none."""
        held = self._held[side]
        return held[-1].timestamps[-1] if held else 0

    def take(self, *, at_end: dict[str, bool]) -> list[RecordBatch]:
        """What may be taken now, requests first.

        Args:
            at_end: By input, whether it is read to its end: nothing older than what is held can come from it.

        Returns:
            Slices up to the moment that both inputs have reached; all of an input whose other is at its end.
        """
        requests, predictions = (self._held[side] for side in SIDES)
        if requests and predictions:
            return self._until(min(requests[-1].timestamps[-1], predictions[-1].timestamps[-1]))
        behind = "predictions" if requests else "requests"
        return self._until(None) if at_end[behind] else []

    def _until(self, moment_ms: int | None) -> list[RecordBatch]:
        taken: list[RecordBatch] = []
        for side, held in self._held.items():
            whole = moment_ms is None or (bool(held) and held[-1].timestamps[-1] <= moment_ms)
            while held:
                piece = held[0]
                count = len(piece.offsets) if whole else bisect_right(piece.timestamps, moment_ms or 0)
                if count < len(piece.offsets):
                    if count:
                        first, held[0] = _split(piece, count)
                        taken.append(first)
                        self.count[side] -= count
                    break
                taken.append(held.popleft())
                self.count[side] -= count
        return taken


def middle_ms(piece: RecordBatch) -> int:
    """When the record in the middle was written: one odd clock at either end says nothing about all of them."""
    return piece.timestamps[len(piece.timestamps) // 2]


def _split(piece: RecordBatch, count: int) -> tuple[RecordBatch, RecordBatch]:
    """The first `count` records of a slice, and the others."""
    columns = (piece.keys, piece.values, piece.timestamps, piece.offsets)
    first, rest = ([column[part] for column in columns] for part in (slice(count), slice(count, None)))
    return RecordBatch(piece.topic, piece.partition, *first), RecordBatch(piece.topic, piece.partition, *rest)  # type: ignore[arg-type]
