"""Replay: each request through the shadow, joined with the live prediction, one comparison for each.

In: `requests` and `predictions`. Out: `comparisons`, `vitals`, `dead-letters`, and the changelog of what still waits.
Guaranteed, together with the loop that runs it: every request that can be read ends as exactly one comparison, whatever
the model does, or is counted as sampled out where the settings ask for a share only; every record that cannot be read
ends as a dead letter.

The model is asked asynchronously: a call's input becomes an in-flight batch, and its outputs are returned, with the
positions they account for, once the model has answered all of it. Three invariants hold this together:

- In-flight batches finish in the order in which they began, so returned positions only grow.
- The join and the reorder buffer run ahead of what is returned. Books, changelog and positions do not: they change when
  a batch finishes, so each commit describes exactly the input that its outputs account for.
- A batch in which nothing was read or expired has no books, and is dropped.
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
from shadowbus.replay.model.client import IN_FLIGHT, Chunk, ModelClient
from shadowbus.replay.parse import InputParser, ParsedBatch
from shadowbus.replay.partition import ReplayPartition
from shadowbus.replay.reorder_buffer import SIDES, middle_ms
from shadowbus.replay.shedding import Shedding
from shadowbus.settings import Settings, ShadowSettings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage
from shadowbus.topology import REPLAY_CHANGELOG


class ReplayStage(Stage):
    """The replay stage over the partitions that a worker holds; `cutoff` says until when its model was trained."""

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
        self.batches: deque[InFlightBatch] = deque()
        self.lags: Mapping[Input, int] = {}
        self.held_back: frozenset[Input] = frozenset()
        self.vitals_at = 0
        self.shedding = Shedding(settings.replay)
        self.parser = InputParser(settings.namespace, settings.replay.timed)
        numbers = RunningNumbers(lambda partition, trial: self.partitions[partition].books.comparisons(trial))
        named = settings.namespace, shadow.name, model.model
        # A control is the live model itself: the same answers are the same, whatever it was trained on.
        enrichers = enrichers_of(settings, None if shadow.control else cutoff)
        self.comparisons = Comparisons(*named, comparator, numbers, enrichers)

    def restore(self, batch: RecordBatch) -> None:
        """Restore unmatched records, answered ids, and the books."""
        self.partitions[batch.partition].restore(batch)

    def reread(self, batch: RecordBatch) -> None:
        """Count input that the books do not contain."""
        state = self.partitions[batch.partition]
        state.skipped(batch.topic, len(batch.offsets), batch.next_offset)

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """The positions of the books where more is committed: the group was moved on, or only markers follow."""
        resume: dict[Input, int] = {}
        for partition, state in self.partitions.items():
            positions = {side: committed.get((side, partition), 0) for side in SIDES}
            state.check(positions)
            reached = {side: state.books.next_offsets.get(side, 0) for side in SIDES}
            resume.update({(side, partition): reached[side] for side in SIDES if reached[side] < positions[side]})
        return resume

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Count them as read: nothing will balance them in the books."""
        for (topic, partition), count in counts.items():
            self.partitions[partition].never_read(topic, count)

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Join what both inputs have reached, ask the model, and return what it has finished."""
        for records in batches:
            self.partitions[records.partition].buffer.add(records)
        self._advance(InFlightBatch(Outputs()), JoinedRows(), now_ms)
        return self._finished(now_ms, most_in_flight=IN_FLIGHT)

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Expire records whose counterpart will not come; publish vitals when they are due."""
        self.lags = lags
        batch = InFlightBatch(Outputs())
        joined = JoinedRows()
        for partition, state in self.partitions.items():
            self._expire(partition, state, batch, joined, now_ms)
        self._advance(batch, joined, now_ms)
        outputs = self._finished(now_ms, most_in_flight=None)
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            self._report(outputs, now_ms)
        return outputs

    def _advance(self, batch: InFlightBatch, joined: JoinedRows, now_ms: int) -> None:
        behind_ms = None if any(self.lags.values()) else 0
        for partition, state in self.partitions.items():
            # A paused input must not hold up the other one, which will bring what it waits for.
            held_back = self.held_back
            at_end = {side: self.lags.get((side, partition)) == 0 or (side, partition) in held_back for side in SIDES}
            self.model.pump()
            if ready := state.buffer.take(at_end=at_end):
                self._take(partition, state, ready, batch, joined, now_ms)
                behind_ms = max(behind_ms or 0, now_ms - max(map(middle_ms, ready)))
        if behind_ms is not None:
            self.shedding.observe(behind_ms, now_ms)
        if batch.books:
            kept, left_out = self.shedding.choose(joined)
            batch.leave_out(left_out)
            self._launch(batch, kept)

    def drain(self, now_ms: int) -> Outputs:
        """Wait for the model to answer everything in flight."""
        outputs = self._finished(now_ms, most_in_flight=0)
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
        """Inputs whose records in memory have reached the limit; of both inputs of a partition, the one ahead in time.

        The other input is always read on, so what waits for it is matched, or expires by its time, or by the clock once
        it is read to its end: every pause ends, whatever never comes.
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
        """Drop everything; what the model still answers is not used."""
        while self.model.in_flight:
            self.model.collect(wait=True)
        self.batches.clear()

    def _take(
        self,
        partition: int,
        state: ReplayPartition,
        ready: list[RecordBatch],
        batch: InFlightBatch,
        joined: JoinedRows,
        now_ms: int,
    ) -> None:
        """Join the records. An input's time is the oldest of its newest records: one odd clock does not move it."""
        sides = {side: ParsedBatch() for side in SIDES}
        for records in ready:
            batch.outputs.positions[records.input] = records.next_offset
            batch.count(partition, records.topic, "read", by=len(records.offsets))
            state.event_ms[records.topic] = min(records.timestamps)
            self.parser.read(records, sides[records.topic], batch, state.models, now_ms)
        requests, predictions = sides["requests"], sides["predictions"]
        if predictions.lives:
            state.live_model = predictions.lives[-1].model
        matched = state.join.match(requests.keys, predictions.keys)
        first, requests = requests.split(matched)
        second, predictions = predictions.split(matched)
        if matched:
            lives = second.lives
            if first.keys != second.keys:
                by_key = dict(zip(second.keys, lives, strict=True))
                lives = [by_key[key] for key in first.keys]
            models = [live.model for live in lives]
            joined.extend(partition, first.keys, first.values, first.offsets, lives, models)
        for side, parsed in ((REQUEST, requests), (PREDICTION, predictions)):
            if parsed.keys:
                self._take_singly(side, partition, state, parsed, batch, joined, now_ms)

    def _take_singly(
        self,
        side: bytes,
        partition: int,
        state: ReplayPartition,
        parsed: ParsedBatch,
        batch: InFlightBatch,
        joined: JoinedRows,
        now_ms: int,
    ) -> None:
        """Add records that wait, match one that waited, or are duplicates."""
        topic = "requests" if side == REQUEST else "predictions"
        # A clock that is ahead must not make a record wait longer.
        since = [min(at, now_ms) for at in parsed.timestamps]
        lives: Iterable[Live | None] = parsed.lives or repeat(None)
        unmatched: Iterable[Unmatched] = zip(parsed.values, since, parsed.offsets, lives, strict=False)
        for index, other in enumerate(state.join.add(side, parsed.keys, unmatched)):
            if other is None:
                continue
            key, value, offset = parsed.keys[index], parsed.values[index], parsed.offsets[index]
            if other is False:
                self.parser.set_aside(topic, partition, offset, key, value, "duplicate", batch, now_ms)
                batch.count(partition, topic, "duplicates")
            elif side == REQUEST:
                live = other[3] or read_live(key, other[0], self.parser.timed)
                joined.add(partition, key, value, offset, live, live.model)
            else:
                joined.add(partition, key, other[0], other[2], parsed.lives[index], parsed.lives[index].model)

    def _expire(
        self, partition: int, state: ReplayPartition, batch: InFlightBatch, joined: JoinedRows, now_ms: int
    ) -> None:
        """Expire what waited longer than the join window, by the time of the input that should bring the counterpart.

        While that input has records left, its own time counts, so that a backlog expires nothing; once it is read to
        its end, the clock does.
        """
        window = self.settings.replay.join_window_ms
        for side, other in ((REQUEST, "predictions"), (PREDICTION, "requests")):
            behind = self.lags.get((other, partition), 1) > 0 or state.buffer.count[other] > 0
            time_ms = state.event_ms[other] if behind else now_ms
            for key, record in state.join.expired(side, time_ms - window):
                if side == REQUEST:
                    joined.add(partition, key, record[0], record[2], None, state.live_model)
                    batch.count(partition, "requests", "read", by=0)  # the partition has changed
                else:
                    live = record[3] or read_live(key, record[0], self.parser.timed)
                    batch.unpaired.append((partition, key, live, record[1]))
                    batch.count(partition, "comparisons", self.comparisons.trial(live.model), "request_missing")

    def _launch(self, batch: InFlightBatch, joined: JoinedRows) -> None:
        for partition, state in self.partitions.items():
            if partition in batch.books:
                batch.changes[partition] = state.join.take_changes()
                batch.waiting[partition] = (len(state.join.requests), len(state.join.predictions))
        start = 0
        while start < len(joined):
            rows = joined.part(start, start + self.model.chunk_rows(self.settings.replay.max_batch))
            start += len(rows)
            chunk = Chunk(rows.keys, rows.values)
            while self.model.in_flight >= IN_FLIGHT:
                self.model.collect(wait=True)
            self.model.ask(chunk)
            batch.chunks.append((chunk, rows))
        self.batches.append(batch)

    def _finished(self, now_ms: int, *, most_in_flight: int | None) -> Outputs:
        """Collect answers; return the outputs of the batches that are complete, oldest first."""
        self.model.collect(wait=False)
        while most_in_flight is not None and self.model.in_flight > most_in_flight:
            self.model.collect(wait=True)
        outputs = Outputs()
        while self.batches and all(chunk.answers is not None for chunk, _ in self.batches[0].chunks):
            self._settle(self.batches.popleft(), outputs, now_ms)
        return outputs

    def _settle(self, batch: InFlightBatch, outputs: Outputs, now_ms: int) -> None:
        """Finish a complete batch: write its comparisons, apply its counts and changes to the state that is kept."""
        for chunk, joined in batch.chunks:
            self.model.pump()
            assert chunk.answers is not None  # noqa: S101
            rows = self.comparisons.settle(joined, chunk.answers, now_ms)
            outputs.extend("comparisons", rows.comparisons)
            if rows.dead_letters:
                outputs.extend("dead-letters", rows.dead_letters)
            for partition, counts in rows.counts.items():
                batch.books.setdefault(partition, Counter()).update(counts)
        for partition, key, live, since_ms in batch.unpaired:
            value = self.comparisons.unpaired(partition, key, live, first_time_ms(since_ms, now_ms))
            outputs.add("comparisons", partition, key, value)
        for topic, records in batch.outputs.records.items():
            outputs.extend(topic, records)
        outputs.positions.update(batch.outputs.positions)
        for (topic, partition), offset in batch.outputs.positions.items():
            self.partitions[partition].books.next_offsets[topic] = offset
        for partition, counts in batch.books.items():
            state = self.partitions[partition]
            state.touched = True
            state.books.add(counts)
            if partition in batch.changes:
                state.keep(*batch.changes[partition])
                waiting = batch.waiting[partition]
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
