"""Replay: each request through the shadow, joined with the live prediction, one comparison for each.

In: `requests` and `predictions`. Out: `comparisons`, `vitals`, `dead-letters`, and the changelog of what still waits.
Guaranteed, together with the loop that runs it: every request that can be read ends as exactly one comparison, whatever
the model does, or is counted as sampled out where the settings ask for a share only; every record that cannot be read
ends as a dead letter.

The model is asked asynchronously. A batch of input becomes a unit of work; its outputs are returned, with the positions
they account for, once the model has answered all of it. Units finish in order.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import repeat

from shadowbus.compare.comparator import Comparator
from shadowbus.cutoff import Cutoff
from shadowbus.limits import first_time_ms
from shadowbus.records import Vitals, encode
from shadowbus.replay.books import RunningNumbers
from shadowbus.replay.comparison import Comparisons
from shadowbus.replay.enrich import enrichers_of
from shadowbus.replay.in_flight import InFlightBatch, JoinedRows
from shadowbus.replay.join import PREDICTION, REQUEST, Join, Unmatched
from shadowbus.replay.live import Live, read_live
from shadowbus.replay.model.client import ModelClient
from shadowbus.replay.model.process import IN_FLIGHT, Chunk
from shadowbus.replay.parse import InputParser, ParsedBatch
from shadowbus.replay.partition import ReplayPartition
from shadowbus.replay.reorder_buffer import SIDES, middle_ms
from shadowbus.replay.shedding import Shedding
from shadowbus.settings import Settings, ShadowSettings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage
from shadowbus.topology import REPLAY_CHANGELOG


class ReplayStage(Stage):
    """The replay stage over the partitions a worker holds; `cutoff` says until when its model was trained."""

    def __init__(
        self,
        held: frozenset[int],
        *,
        settings: Settings,
        shadow: ShadowSettings,
        model: ModelClient,
        comparator: Comparator,
        worker: str,
        cutoff: Cutoff | None = None,
    ) -> None:
        self.settings, self.shadow, self.model = settings, shadow, model
        self.worker, self.cutoff = worker, cutoff
        changelog = REPLAY_CHANGELOG.full_name(settings.namespace, shadow.name)
        self.partitions = {p: ReplayPartition(Join(settings.replay.remember_ids), f"{changelog}[{p}]") for p in held}
        self.units: deque[InFlightBatch] = deque()
        self.lags: Mapping[Input, int] = {}
        self.held_back: frozenset[Input] = frozenset()
        self.vitals_at = 0
        self.shedding = Shedding(settings.replay)
        self.reading = InputParser(settings.namespace, settings.replay.timed)
        numbers = RunningNumbers(lambda partition, trial: self.partitions[partition].books.comparisons(trial))
        named = settings.namespace, shadow.name, model.model
        # A control is the live model itself: the same answers are the same, whatever it was trained on.
        additions = enrichers_of(settings, None if shadow.control else cutoff)
        self.comparisons = Comparisons(*named, comparator, numbers, additions)

    def restore(self, batch: RecordBatch) -> None:
        """Take back what waited, what was answered, and the books."""
        self.partitions[batch.partition].restore(batch)

    def reread(self, batch: RecordBatch) -> None:
        """Count input that the books have never seen."""
        state = self.partitions[batch.partition]
        state.skipped(batch.topic, len(batch.offsets), batch.next_offset)

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """Where the books end, if more is committed: the group was moved on, or there are only transaction markers."""
        resume: dict[Input, int] = {}
        for partition, state in self.partitions.items():
            positions = {side: committed.get((side, partition), 0) for side in SIDES}
            state.check(positions)
            reached = {side: state.books.next_offsets.get(side, 0) for side in SIDES}
            resume.update({(side, partition): reached[side] for side in SIDES if reached[side] < positions[side]})
        return resume

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Count them as read: nothing will balance them."""
        for (topic, partition), count in counts.items():
            self.partitions[partition].never_read(topic, count)

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Join what both inputs have reached, put it before the model, and return what the model has finished."""
        for piece in batches:
            self.partitions[piece.partition].inbox.add(piece)
        self._advance(InFlightBatch(Outputs()), JoinedRows(), now_ms)
        return self._finished(now_ms, most_under_way=IN_FLIGHT)

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Expire halves whose other half will not come; publish vitals when it is time."""
        self.lags = lags
        unit = InFlightBatch(Outputs())
        pairs = JoinedRows()
        for partition, state in self.partitions.items():
            self._expire(partition, state, unit, pairs, now_ms)
        self._advance(unit, pairs, now_ms)
        outputs = self._finished(now_ms, most_under_way=None)
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            self._report(outputs, now_ms)
        return outputs

    def _advance(self, unit: InFlightBatch, pairs: JoinedRows, now_ms: int) -> None:
        behind_ms = None if any(self.lags.values()) else 0
        for partition, state in self.partitions.items():
            # An input that is left alone must not hold up the other, which is to bring what it waits for.
            held_back = self.held_back
            at_end = {side: self.lags.get((side, partition)) == 0 or (side, partition) in held_back for side in SIDES}
            self.model.attend()
            if slices := state.inbox.take(at_end=at_end):
                self._take(partition, state, slices, unit, pairs, now_ms)
                behind_ms = max(behind_ms or 0, now_ms - max(map(middle_ms, slices)))
        if behind_ms is not None:
            self.shedding.observe(behind_ms, now_ms)
        if unit.books:
            kept, left_out = self.shedding.choose(pairs)
            unit.leave_out(left_out)
            self._launch(unit, kept)

    def drain(self, now_ms: int) -> Outputs:
        """Wait for the model to answer all that is under way."""
        outputs = self._finished(now_ms, most_under_way=0)
        self._report(outputs, now_ms)
        return outputs

    def checkpoint(self, now_ms: int) -> Outputs:
        """The changelog records of everything that finished since the last commit."""
        outputs = Outputs()
        for partition, state in self.partitions.items():
            if state.touched:
                outputs.extend("replay-changelog", ((partition, key, value) for key, value in state.take_changelog()))
        return outputs

    def paused(self) -> frozenset[Input]:
        """Inputs whose halves fill the memory set aside for them; of two of a partition, the one ahead in time.

        One input of a partition is always read on, so what waits for it is met, or expires by its time, or by the clock
        once it is read to its end: whatever never comes, a pause ends.
        """
        most = max(1, self.settings.replay.max_pending // max(1, len(self.partitions)))
        full: set[Input] = set()
        for partition, state in self.partitions.items():
            over = [
                side
                for side, count in state.pending().items()
                if count > (most // 2 if (side, partition) in self.held_back else most)
            ]
            if over:
                full.add((max(over, key=state.newest_ms), partition))
        self.held_back = frozenset(full)
        return self.held_back

    def close(self) -> None:
        """Forget everything; what the model still answers belongs to nobody."""
        while self.model.in_flight:
            self.model.collect(wait=True)
        self.units.clear()

    def _take(
        self,
        partition: int,
        state: ReplayPartition,
        slices: list[RecordBatch],
        unit: InFlightBatch,
        pairs: JoinedRows,
        now_ms: int,
    ) -> None:
        """Join what was taken. An input's time is the oldest of its newest records: one odd clock does not move it."""
        sides = {side: ParsedBatch() for side in SIDES}
        for piece in slices:
            unit.outputs.positions[piece.input] = piece.next_offset
            unit.count(partition, piece.topic, "read", by=len(piece.offsets))
            state.event_ms[piece.topic] = min(piece.timestamps)
            self.reading.read(piece, sides[piece.topic], unit, state.models, now_ms)
        requests, predictions = sides["requests"], sides["predictions"]
        if predictions.lives:
            state.live_model = predictions.lives[-1].model
        met = state.join.meet(requests.keys, predictions.keys)
        first, requests = requests.split(met)
        second, predictions = predictions.split(met)
        if met:
            lives = second.lives
            if first.keys != second.keys:
                by_key = dict(zip(second.keys, lives, strict=True))
                lives = [by_key[key] for key in first.keys]
            models = [live.model for live in lives]
            pairs.extend(partition, first.keys, first.values, first.offsets, lives, models)
        for side, taken in ((REQUEST, requests), (PREDICTION, predictions)):
            if taken.keys:
                self._take_singly(side, partition, state, taken, unit, pairs, now_ms)

    def _take_singly(
        self,
        side: bytes,
        partition: int,
        state: ReplayPartition,
        taken: ParsedBatch,
        unit: InFlightBatch,
        pairs: JoinedRows,
        now_ms: int,
    ) -> None:
        """Halves that wait, meet what waited, or are duplicates."""
        topic = "requests" if side == REQUEST else "predictions"
        # A clock that is ahead must not make a half wait longer.
        since = [min(at, now_ms) for at in taken.timestamps]
        lives: Iterable[Live | None] = taken.lives or repeat(None)
        halves: Iterable[Unmatched] = zip(taken.values, since, taken.offsets, lives, strict=False)
        for index, other in enumerate(state.join.take(side, taken.keys, halves)):
            if other is None:
                continue
            key, value, offset = taken.keys[index], taken.values[index], taken.offsets[index]
            if other is False:
                self.reading.set_aside(topic, partition, offset, key, value, "duplicate", unit, now_ms)
                unit.count(partition, topic, "duplicates")
            elif side == REQUEST:
                live = other[3] or read_live(key, other[0], self.reading.timed)
                pairs.add(partition, key, value, offset, live, live.model)
            else:
                pairs.add(partition, key, other[0], other[2], taken.lives[index], taken.lives[index].model)

    def _expire(
        self, partition: int, state: ReplayPartition, unit: InFlightBatch, pairs: JoinedRows, now_ms: int
    ) -> None:
        """What waited longer than the join window, by the time of the input that should have brought the other half.

        While that input has records left, its own time counts, so that a backlog expires nothing; once it is read to
        its end, the clock does.
        """
        window = self.settings.replay.join_window_ms
        for side, other in ((REQUEST, "predictions"), (PREDICTION, "requests")):
            behind = self.lags.get((other, partition), 1) > 0 or state.inbox.count[other] > 0
            time_ms = state.event_ms[other] if behind else now_ms
            for key, half in state.join.expired(side, time_ms - window):
                if side == REQUEST:
                    pairs.add(partition, key, half[0], half[2], None, state.live_model)
                    unit.count(partition, "requests", "read", by=0)  # the partition has changed
                else:
                    live = half[3] or read_live(key, half[0], self.reading.timed)
                    unit.unpaired.append((partition, key, live, half[1]))
                    unit.count(partition, "comparisons", self.comparisons.trial(live.model), "request_missing")

    def _launch(self, unit: InFlightBatch, pairs: JoinedRows) -> None:
        for partition, state in self.partitions.items():
            if partition in unit.books:
                unit.changes[partition] = state.join.take_changes()
                unit.waiting[partition] = (len(state.join.requests), len(state.join.predictions))
        start = 0
        while start < len(pairs):
            rows = pairs.part(start, start + self.model.chunk_rows(self.settings.replay.max_batch))
            start += len(rows)
            chunk = Chunk(rows.keys, rows.values)
            while self.model.in_flight >= IN_FLIGHT:
                self.model.collect(wait=True)
            self.model.ask(chunk)
            unit.chunks.append((chunk, rows))
        self.units.append(unit)

    def _finished(self, now_ms: int, *, most_under_way: int | None) -> Outputs:
        """Collect answers; return the outputs of the units that are complete, oldest first."""
        self.model.collect(wait=False)
        while most_under_way is not None and self.model.in_flight > most_under_way:
            self.model.collect(wait=True)
        outputs = Outputs()
        while self.units and all(chunk.answers is not None for chunk, _ in self.units[0].chunks):
            self._settle(self.units.popleft(), outputs, now_ms)
        return outputs

    def _settle(self, unit: InFlightBatch, outputs: Outputs, now_ms: int) -> None:
        """A unit is complete: write its comparisons, move its counts and changes into the state to be kept."""
        for chunk, pairs in unit.chunks:
            self.model.attend()
            assert chunk.answers is not None  # noqa: S101
            rows = self.comparisons.settle(pairs, chunk.answers, now_ms)
            outputs.extend("comparisons", rows.comparisons)
            if rows.dead_letters:
                outputs.extend("dead-letters", rows.dead_letters)
            for partition, counts in rows.counts.items():
                unit.books.setdefault(partition, Counter()).update(counts)
        for partition, key, live, since_ms in unit.unpaired:
            value = self.comparisons.unpaired(partition, key, live, first_time_ms(since_ms, now_ms))
            outputs.add("comparisons", partition, key, value)
        for topic, records in unit.outputs.records.items():
            outputs.extend(topic, records)
        outputs.positions.update(unit.outputs.positions)
        for (topic, partition), offset in unit.outputs.positions.items():
            self.partitions[partition].books.next_offsets[topic] = offset
        for partition, counts in unit.books.items():
            state = self.partitions[partition]
            state.touched = True
            state.books.add(counts)
            if partition in unit.changes:
                state.keep(*unit.changes[partition])
                waiting = unit.waiting[partition]
                state.books.waiting = {"requests": waiting[0], "predictions": waiting[1]}

    def _report(self, outputs: Outputs, now_ms: int) -> None:
        model = {**self.model.report(), **(self.cutoff.to_record() if self.cutoff is not None else {})}
        for partition, state in self.partitions.items():
            lag = sum(self.lags.get((topic, partition), 0) for topic in ("requests", "predictions"))
            record = Vitals(
                "replay",
                self.shadow.name,
                self.worker,
                partition,
                now_ms,
                books=state.books.record(),
                model=model,
                lag=lag,
                share=self.shedding.share,
            )
            outputs.add("vitals", partition, f"replay|{self.shadow.name}|{partition}".encode(), encode(record))
