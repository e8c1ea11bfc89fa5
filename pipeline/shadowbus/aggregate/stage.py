"""Aggregate: comparisons and outcomes folded into running totals, one partial for each source partition.

In: `comparisons`, `outcomes`, `vitals`. Out: `partials`, `dead-letters`. The partials are the state: what a commit
makes visible is what a restart takes back. All partials of a trial, and the account books of its shadow, go to the one
partition of its name, so that one agent sees all of them.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from shadowbus.aggregate.fold import fold
from shadowbus.aggregate.state import RunningTotals
from shadowbus.aggregate.vitals import LatestVitals
from shadowbus.errors import Retry, StateCorruptError
from shadowbus.partitioners import partition_of
from shadowbus.records import Partial, encode
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import ALL, COUNTED, VITALS, Key
from shadowbus.totals.span import Gates

logger = logging.getLogger("shadowbus.aggregate")


@dataclass(slots=True)
class _Source:
    """The state of one source partition."""

    running: RunningTotals
    vitals: LatestVitals = field(default_factory=LatestVitals)


class AggregateStage(Stage):
    """The aggregate stage over the partitions a worker holds.

    Kept totals that cannot be read, or count more than is committed, were written by something else: those of their
    source partition are counted again, from comparisons and outcomes.

    Args:
        held: Source partitions.
        settings: What is counted, and for how long windows are kept.
        spoiled: Source partitions whose kept totals are not used. Whoever opens a stage again hands it on: here it is
            noted where something turned out to be unreadable.
        since_ms: When the worker that has read the settings started: where they are others than those that a trial was
            counted by, a new span of it begins with the first comparison that was written since then.
    """

    def __init__(
        self, held: frozenset[int], settings: Settings, spoiled: set[int] | None = None, since_ms: int = 0
    ) -> None:
        self.settings, self.spoiled = settings, set() if spoiled is None else spoiled
        self.gates, self.definitions = Gates(settings, since_ms), MetricDefinitions.of(settings)
        self.sources = {p: self._begun() for p in sorted(held)}
        self.lags: Mapping[Input, int] = {}

    def restore(self, batch: RecordBatch) -> None:
        """Take back the partials of the source partitions held here, whichever partition they were written to.

        A record whose key is not a partial's was not written by this stage, so it is not state; readers set it aside.
        """
        for key, value in zip(batch.keys, batch.values, strict=True):
            parts = (key or b"").decode("utf-8", "replace").split("|")
            if len(parts) == 4 and parts[3].isdecimal() and (parts[2] == ALL or parts[2].isdecimal()):
                source = self.sources.get(int(parts[3]))
                if source is not None and int(parts[3]) not in self.spoiled:
                    source.running.restore(Key(*parts[:3]), value)

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """Where to read from: the committed position, or 0 where no totals can be used and all is counted again."""
        resume: dict[Input, int] = {}
        for number, source in self.sources.items():
            mine = {topic: offset for (topic, one), offset in committed.items() if one == number and topic in COUNTED}
            if why := source.running.doubt(mine):
                logger.error("source partition %d is counted again from its first record: %s", number, why)
                source = self.sources[number] = self._begun()
            if not source.running.trials:
                resume.update({(topic, number): 0 for topic in mine})
            source.running.next_offsets.update(mine)
        return resume

    def reread(self, batch: RecordBatch) -> None:
        """Count comparisons and outcomes of a source partition that has no usable partials once more."""
        self._count(batch, max(batch.timestamps))

    def lost(self, counts: Mapping[Input, int]) -> None:
        """Count nothing: comparisons that replay claims to have written, and that are not counted, appear as a gap."""

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Add a batch to the totals; they are written at the next commit."""
        outputs = Outputs()
        for piece in batches:
            source = self.sources[piece.partition]
            if piece.topic == "vitals":
                rejected = source.vitals.take(piece, now_ms)
            else:
                with self._readable(piece.partition):
                    rejected = self._count(piece, now_ms)
                source.running.next_offsets[piece.topic] = piece.next_offset
            for index, reason in rejected:
                self._set_aside(piece, index, reason, outputs, now_ms)
            outputs.positions[piece.input] = piece.next_offset
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Only learn how far there is to go."""
        self.lags = lags
        return Outputs()

    def checkpoint(self, now_ms: int) -> Outputs:
        """The partials that changed, tombstones for windows that were dropped, and new account books.

        The partial of the whole trial is written last: whoever has read it has read everything of that commit.
        """
        outputs = Outputs()
        for number, source in self.sources.items():
            with self._readable(number):
                self._partials(number, source, now_ms, outputs)
            behind = self.lags.get(("comparisons", number))
            for trial, name, record in source.vitals.take_news(source.running.trials, behind, now_ms):
                self._write(outputs, Key(trial, VITALS, name), number, orjson.dumps(record))
        return outputs

    def _begun(self) -> _Source:
        return _Source(RunningTotals(self.definitions, self.settings.aggregate.keep_windows, gates=self.gates))

    @contextlib.contextmanager
    def _readable(self, number: int) -> Iterator[None]:
        """Where kept totals turn out to be unreadable, begin again without them.

        Raises:
            Retry: They are.
        """
        try:
            yield
        except StateCorruptError as error:
            self.spoiled.add(number)
            raise Retry(f"source partition {number} is counted again from its first record: {error}") from error

    def _partials(self, number: int, source: _Source, now_ms: int, outputs: Outputs) -> None:
        running = source.running
        changed, dropped = running.take_changes()
        for key, totals in sorted(changed.items(), key=lambda item: (item[0] == Key(item[0].trial), item[0])):
            offsets: dict[str, object] = dict(sorted(running.next_offsets.items()))
            names = noise = firsts = beginning = span = {}
            if key == Key(key.trial):
                vocabulary = running.vocabulary_of(key.trial)
                names, beginning = vocabulary.to_record(), vocabulary.failures.beginning.to_record()
                noise, span = running.noise_of(key.trial).to_record(), running.span_of(key.trial)
                firsts = running.firsts_of(key.trial)
            partial = Partial(*key, number, offsets, totals.to_record(), now_ms, names, noise, firsts, beginning, span)
            self._write(outputs, key, number, encode(partial))
        for key in dropped:
            self._write(outputs, key, number, None)
            if key == Key(key.trial):
                for stage in sorted({stage for stage, _ in source.vitals.latest}):
                    self._write(outputs, Key(key.trial, VITALS, stage), number, None)

    def _count(self, piece: RecordBatch, now_ms: int) -> list[tuple[int, str]]:
        """Add a slice to the totals; what was written before this worker's settings were read is of the span before."""
        new = next((at for at, written in enumerate(piece.timestamps) if written >= self.gates.since_ms), None)
        if piece.topic != "comparisons" or new is None:
            return self._add(piece, now_ms, begins=False)
        rejected = self._add(piece.part(0, new), now_ms, begins=False) if new else []
        more = self._add(piece.part(new), now_ms, begins=True)
        return [*rejected, *((new + index, reason) for index, reason in more)]

    def _add(self, piece: RecordBatch, now_ms: int, *, begins: bool) -> list[tuple[int, str]]:
        running = self.sources[piece.partition].running
        folded = fold(piece, lambda trial: running.vocabulary_of(trial, begins=begins), self.definitions)
        running.begin(piece.topic, {trial: piece.offsets[index] for trial, index in folded.firsts.items()})
        running.add(folded, now_ms)
        for trial in folded.firsts:
            running.note_span(trial, now_ms)
        return folded.rejected

    def _write(self, outputs: Outputs, key: Key, source: int, value: bytes | None) -> None:
        partition = partition_of(key.trial.encode(), self.settings.partitions)
        outputs.add("partials", partition, f"{key.text()}|{source}".encode(), value)

    def _set_aside(self, piece: RecordBatch, index: int, reason: str, outputs: Outputs, now_ms: int) -> None:
        topic, key, value = f"{self.settings.namespace}.{piece.topic}", piece.keys[index], piece.values[index]
        letter = dead_letter(topic, piece.partition, piece.offsets[index], key, value, reason=reason, now_ms=now_ms)
        outputs.add("dead-letters", piece.partition, letter_key(key), letter)
