"""Judge: joins each comparison with its label, which tells who was right.

In: `comparisons` and `labels`, in any order, the label seconds to weeks later. Out: `outcomes`, `vitals`,
`dead-letters`. Guaranteed, together with the loop that runs it: for each comparison in which both models answered and
whose label came within the horizon, outcomes that add up to one, by the last label of its id (`entry.py`): a label that
corrects an earlier one retracts the outcome that it replaces. A comparison whose label never came is counted as
expired, once.
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
"""How many entries one call sweeps, so that it does not hold up the rest."""


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
        self.partitions: dict[int, JudgePartition] = {}
        try:
            for partition in sorted(held):
                self.partitions[partition] = JudgePartition(
                    f"{name}[{partition}]", partition, EntryStore(folder / str(partition))
                )
        except BaseException:
            self.close()
            raise
        self.touched: set[int] = set()
        self.vitals_at = 0

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """The positions that the local state has applied. A state of other topics, or one ahead of Kafka, is wiped.

        Where the books are gone, they are counted again from what Kafka still has.
        """
        resume: dict[Input, int] = {}
        for partition, state in self.partitions.items():
            if state.start({topic: committed.get((topic, partition), 0) for topic in SIDES}):
                self.touched.add(partition)
            kept = state.store.positions()
            resume.update({(topic, partition): kept.get(topic, 0) for topic in SIDES})
        return resume

    def restore(self, batch: RecordBatch) -> None:
        """Restore the books."""
        self.partitions[batch.partition].restore(batch)

    def reread(self, batch: RecordBatch) -> None:
        """Apply input that the local state has not seen; its outputs are committed."""
        state = self.partitions[batch.partition]
        known = state.known(batch)
        if known < len(batch.offsets):
            self.lost({batch.input: len(batch.offsets) - known})
        columns = (batch.keys, batch.values, batch.timestamps, batch.offsets)
        seen = RecordBatch(batch.topic, batch.partition, *(column[:known] for column in columns))  # type: ignore[arg-type]
        self._apply(seen, None, state.counted, 0)
        state.store.write({**state.store.positions(), batch.topic: batch.next_offset})

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Count them."""
        for (topic, partition), count in counts.items():
            for name in ("read", "never_read"):
                self.partitions[partition].books[topic, name] += count
            self.touched.add(partition)

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Judge what can be judged now; keep the rest."""
        outputs = Outputs()
        for records in batches:
            state = self.partitions[records.partition]
            self._apply(records, outputs, state.books, now_ms)
            outputs.positions[records.input] = records.next_offset
            state.positions[records.topic] = records.next_offset
            state.newest_ms[records.topic] = max(state.newest_ms.get(records.topic, 0), max(records.timestamps))
            self.touched.add(records.partition)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Drop what has expired, and publish vitals when they are due."""
        for state in self.partitions.values():
            self._expire(state, now_ms, lags)
        outputs = Outputs()
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            for partition in self.partitions:
                lag = sum(lags.get((topic, partition), 0) for topic in SIDES)
                record = Vitals(
                    "judge", "", self.worker, partition, now_ms, books=self.partitions[partition].document(), lag=lag
                )
                outputs.add("vitals", partition, f"judge||{partition}".encode(), encode(record))
        return outputs

    def checkpoint(self, now_ms: int) -> Outputs:
        """The books of each partition that changed, with its expiry watermark."""
        outputs = Outputs()
        for partition in sorted(self.touched):
            outputs.add("judge-changelog", partition, BOOKS_KEY, self.partitions[partition].to_bytes())
        self.touched.clear()
        return outputs

    def committed(self) -> None:
        """Write the local state."""
        for state in self.partitions.values():
            state.store.write(state.positions)

    def close(self) -> None:
        """Release the folders."""
        for state in self.partitions.values():
            state.store.close()

    def _expire(self, state: JudgePartition, now_ms: int, lags: Mapping[Input, int]) -> None:
        """Drop what has expired. While input is unread, time is that of what was read: the rest may hold the label."""
        before = state.watermark
        read_to = [
            now_ms if lags.get((topic, state.partition)) == 0 else state.newest_ms.get(topic, 0) for topic in SIDES
        ]
        over = hour_of(min(now_ms, *read_to)) - self.horizon - 1
        if not before.under_way and over - before.done < self.sweep_hours:
            return
        aim, after = (before.aim, before.to) if before.under_way else (over, b"")
        keys, reached = state.store.due(after, aim, ENTRIES_PER_TICK)
        state.watermark = ExpiryWatermark(aim, aim) if reached is None else ExpiryWatermark(before.done, aim, reached)
        for key, entry in state.store.entries((key, 0) for key in keys).items():
            for one in entry.drop(key, state.watermark, self.horizon):
                # What had expired before is counted already: it is still here because a crash came before its deletion.
                if not before.over(entry.hour + one.hour, key):
                    state.books["comparisons", "waiting"] -= 1
                    state.books["comparisons", "expired"] += 1
            state.store.change(key, entry)
        self.touched.add(state.partition)

    def _apply(self, records: RecordBatch, outputs: Outputs | None, books: Books, now_ms: int) -> None:
        state, namespace = self.partitions[records.partition], self.settings.namespace
        LabelJoin(state, self.horizon, self.comparators, books, outputs, namespace, now_ms).apply(records)
