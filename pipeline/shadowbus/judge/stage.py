"""Judge: each comparison meets its label, and we know who was right.

In: `comparisons` and `labels`, in any order, the label seconds to weeks later. Out: `outcomes`, `vitals`,
`dead-letters`. Guaranteed, together with the loop that runs it: for each comparison in which both models answered and
whose label came within the horizon, outcomes that add up to one, by the last label of its id (`entry.py`): a label that
corrects an earlier one takes the outcome back that it replaces. A comparison that waited in vain is counted as expired,
once.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from shadowbus.compare import Comparator
from shadowbus.judge.entry import ExpiryWatermark, hour_of
from shadowbus.judge.label_join import LabelJoin
from shadowbus.judge.state import BOOKS_KEY, SIDES, Books, JudgePartition
from shadowbus.judge.store import EntryStore
from shadowbus.records import Vitals, encode
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage
from shadowbus.topology import JUDGE_BOOKS

ENTRIES_PER_TICK = 4_000
"""How many entries a sweep looks at in one call, so that it does not hold up the rest."""


class JudgeStage(Stage):
    """The judge over the partitions a worker holds.

    Args:
        held: The partitions.
        settings: The namespace and the judge's settings.
        comparators: How to judge the answers of each shadow, by its name.
        folder: Where the local state is.
        worker: The worker's name, for the vitals.
    """

    def __init__(
        self,
        held: frozenset[int],
        *,
        settings: Settings,
        comparators: Mapping[str, Comparator],
        folder: Path,
        worker: str,
    ) -> None:
        self.settings, self.comparators, self.worker = settings, comparators, worker
        self.horizon = max(1, math.ceil(settings.judge.horizon_days * 24))  # hours
        name = JUDGE_BOOKS.full_name(settings.namespace)
        self.sweep_hours = max(1, self.horizon // 48)
        self.held: dict[int, JudgePartition] = {}
        try:
            for partition in sorted(held):
                self.held[partition] = JudgePartition(
                    f"{name}[{partition}]", partition, EntryStore(folder / str(partition))
                )
        except BaseException:
            self.close()
            raise
        self.touched: set[int] = set()
        self.vitals_at = 0

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """What the local state has applied. One that is of other topics, or ahead of Kafka, is wiped.

        Where the books are gone, they are counted again from what Kafka still has.
        """
        resume: dict[Input, int] = {}
        for partition, held in self.held.items():
            if held.start({topic: committed.get((topic, partition), 0) for topic in SIDES}):
                self.touched.add(partition)
            kept = held.pending.positions()
            resume.update({(topic, partition): kept.get(topic, 0) for topic in SIDES})
        return resume

    def restore(self, batch: RecordBatch) -> None:
        """Take back the books."""
        self.held[batch.partition].restore(batch)

    def reread(self, batch: RecordBatch) -> None:
        """Apply input that the local state has not seen; its outputs are committed."""
        held = self.held[batch.partition]
        known = held.known(batch)
        if known < len(batch.offsets):
            self.lost({batch.input: len(batch.offsets) - known})
        columns = (batch.keys, batch.values, batch.timestamps, batch.offsets)
        seen = RecordBatch(batch.topic, batch.partition, *(column[:known] for column in columns))  # type: ignore[arg-type]
        self._apply(seen, None, held.counted, 0)
        held.pending.write({**held.pending.positions(), batch.topic: batch.next_offset})

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Count them."""
        for (topic, partition), count in counts.items():
            for name in ("read", "never_read"):
                self.held[partition].books[topic, name] += count
            self.touched.add(partition)

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Judge what can be judged now; keep the rest."""
        outputs = Outputs()
        for piece in batches:
            held = self.held[piece.partition]
            self._apply(piece, outputs, held.books, now_ms)
            outputs.positions[piece.input] = piece.next_offset
            held.positions[piece.topic] = piece.next_offset
            held.newest_ms[piece.topic] = max(held.newest_ms.get(piece.topic, 0), max(piece.timestamps))
            self.touched.add(piece.partition)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Drop what is over, and publish vitals when it is time."""
        for held in self.held.values():
            self._expire(held, now_ms, lags)
        outputs = Outputs()
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            for partition in self.held:
                lag = sum(lags.get((topic, partition), 0) for topic in SIDES)
                record = Vitals(
                    "judge", "", self.worker, partition, now_ms, books=self.held[partition].document(), lag=lag
                )
                outputs.add("vitals", partition, f"judge||{partition}".encode(), encode(record))
        return outputs

    def checkpoint(self, now_ms: int) -> Outputs:
        """The books as they stand, and up to where they have counted what is over."""
        outputs = Outputs()
        for partition in sorted(self.touched):
            outputs.add("judge-changelog", partition, BOOKS_KEY, self.held[partition].to_bytes())
        self.touched.clear()
        return outputs

    def committed(self) -> None:
        """Write the local state."""
        for held in self.held.values():
            held.pending.write(held.positions)

    def close(self) -> None:
        """Let go of the folders."""
        for held in self.held.values():
            held.pending.close()

    def _expire(self, held: JudgePartition, now_ms: int, lags: Mapping[Input, int]) -> None:
        """Take out what is over. Time stands where reading stands: what is still unread may hold the label."""
        before = held.swept
        read_to = [
            now_ms if lags.get((topic, held.partition)) == 0 else held.newest_ms.get(topic, 0) for topic in SIDES
        ]
        over = hour_of(min(now_ms, *read_to)) - self.horizon - 1
        if not before.under_way and over - before.done < self.sweep_hours:
            return
        aim, after = (before.aim, before.to) if before.under_way else (over, b"")
        keys, reached = held.pending.due(after, aim, ENTRIES_PER_TICK)
        held.swept = ExpiryWatermark(aim, aim) if reached is None else ExpiryWatermark(before.done, aim, reached)
        for key, entry in held.pending.entries((key, 0) for key in keys).items():
            for one in entry.drop(key, held.swept, self.horizon):
                # What was over before is counted already; it is here only because a crash kept it from being deleted.
                if not before.over(entry.hour + one.hour, key):
                    held.books["comparisons", "waiting"] -= 1
                    held.books["comparisons", "expired"] += 1
            held.pending.change(key, entry)
        self.touched.add(held.partition)

    def _apply(self, piece: RecordBatch, outputs: Outputs | None, books: Books, now_ms: int) -> None:
        held, namespace = self.held[piece.partition], self.settings.namespace
        LabelJoin(held, self.horizon, self.comparators, books, outputs, namespace, now_ms).take(piece)
