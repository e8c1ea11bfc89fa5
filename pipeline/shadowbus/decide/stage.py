"""Decide: partials in, a verdict for each trial out.

In: `partials`. Out: `verdicts`, and `dead-letters` for partials that cannot be used. The state is the partials
themselves, read again from their beginning up to the committed position, and the verdicts, which are committed with
the positions. So the verdict that a restart reads back is the one that the next verdict follows from.

Guaranteed: a trial is decided as of commits of the aggregate as a whole; a trial that cannot be decided says so and
stops no other one; a partial that counts more than Kafka has is set aside. Kept is the newest partial of each trial,
segment and source partition, none of windows, and at most `MOST_WAITING_BYTES` of partials that wait for a check.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from shadowbus.clock import thread_seconds
from shadowbus.decide import faults
from shadowbus.decide.claims import REPLAY, Beyond, Real, parse_key, read_claim
from shadowbus.decide.decision import Seen, decided, without_positions
from shadowbus.decide.evidence import check_counts, merged
from shadowbus.decide.reconciliation import books_of
from shadowbus.decide.trial import HALF_READ, NOT_MERGED, Merging, Trial
from shadowbus.errors import Malformed, Retry
from shadowbus.partitioners import partition_of
from shadowbus.records import Verdict, encode, parse_object
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.records.published import ranges_of, read_verdict
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, RecordBatch, Stage
from shadowbus.topology import MAX_OUTPUT_BYTES
from shadowbus.totals.key import ALL, VITALS, Key
from shadowbus.trials import shadow_of

logger = logging.getLogger("shadowbus.decide")

MOST_WORK_SECONDS = 1.0
"""The most CPU time between two commits; the trials that are left over come first at the next one."""
REST = 3.0
"""After deciding, the stage rests for this many times as long as it worked: hundreds of segments mean fewer looks."""
MOST_REST_SECONDS = 5.0
"""The longest rest."""
MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Of one source partition; beyond it, its partials are not read until those that wait are checked."""
ROW_BYTES = 256
"""What a row that waits takes besides its value."""

Ask = Callable[[], "Future[Mapping[Input, int]]"]
"""Asks Kafka where the topics end that partials count; answers later."""


class _Row(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def size(self) -> int:
        return ROW_BYTES + len(self.value or b"")


@dataclass(slots=True)
class _Source:
    """One partition of the partials: what was read of it and waits for a check, in order.

    `ready_at` is the offset to reach before anything is decided: compaction may have deleted what the last verdicts
    rest on in favour of what comes next. None as long as it is not known where the partition ends.
    """

    next_offset: int = 0
    waiting: deque[_Row] = field(default_factory=deque)
    waiting_bytes: int = 0
    ready_at: int | None = None

    @property
    def position(self) -> int:
        """Up to where its partials are in the state."""
        return self.waiting[0].offset if self.waiting else self.next_offset

    @property
    def ready(self) -> bool:
        return self.ready_at is not None and self.position >= self.ready_at

    def note_lag(self, lag: int) -> None:
        if lag == 0:
            self.ready_at = self.next_offset if self.ready_at is None else min(self.ready_at, self.next_offset)
        elif self.ready_at is None:
            self.ready_at = self.next_offset + lag


class DecideStage(Stage):
    """The decide stage over the partitions a worker holds.

    Args:
        held: Partitions of the partials.
        settings: The gate.
        real: What partials are checked against at first, not older than the committed positions. None: all partials
            are believed, because nobody else can write them.
        ask: How to learn where the topics end now; None where `real` is.
        spent: The CPU time of this thread so far, in seconds.
        show: Called with the key and value of each verdict that was read back or made.
    """

    def __init__(
        self,
        held: frozenset[int],
        settings: Settings,
        real: Real | None = None,
        ask: Ask | None = None,
        spent: Callable[[], float] = thread_seconds,
        show: Callable[[bytes, bytes], None] = lambda *_: None,
    ) -> None:
        self.settings, self.real, self.ask, self.spent, self.show = settings, real, ask, spent, show
        self.sources = {number: _Source() for number in sorted(held)}
        self.trials: dict[str, Trial] = {}
        self.standing: dict[str, Verdict] = {}
        self.digests: dict[str, bytes] = {}
        self.asked: Future[Mapping[Input, int]] | None = None
        self.asked_at: dict[int, int] = {}
        self.rest_until_ms, self.begun = 0, False

    def restore(self, batch: RecordBatch) -> None:
        """Take back the verdicts that were published."""
        for key, value in zip(batch.keys, batch.values, strict=True):
            self._recall(key or b"", value)

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """All partials before the committed positions are the state."""
        for (_, number), offset in committed.items():
            self.sources[number].next_offset = offset
        return dict.fromkeys(committed, 0)

    def reread(self, batch: RecordBatch) -> None:
        """Take back partials. What cannot be used was set aside when it was read first."""
        for key, value in zip(batch.keys, batch.values, strict=True):
            try:
                self._apply(batch.partition, key, value)
            except Malformed as error:
                self._refuse(key, str(error))

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Take partials, as far as they can be checked now; positions stay before the first one that cannot."""
        outputs = Outputs()
        for piece in batches:
            source = self.sources[piece.partition]
            rows = list(map(_Row, piece.offsets, piece.keys, piece.values))
            source.waiting.extend(rows)
            source.waiting_bytes += sum(row.size for row in rows)
            source.next_offset = piece.next_offset
            self._advance(piece.partition, 0, outputs, now_ms)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Note how far there is to go, and check what waits once Kafka has said where the topics end.

        Raises:
            BrokerError: This user may not ask.
        """
        outputs = Outputs()
        for (_, number), lag in lags.items():
            self.sources[number].note_lag(lag)
        if self.asked is None and self.ask is not None and any(one.waiting for one in self.sources.values()):
            self.asked, self.asked_at = self.ask(), {number: one.next_offset for number, one in self.sources.items()}
        if self.asked is not None and self.asked.done():
            asked, self.asked = self.asked, None
            try:
                self.real = Real(asked.result(), now_ms)
            except Retry as error:
                logger.warning("partials wait until it is known where the topics end that they count: %s", error)
            else:
                for number, offset in self.asked_at.items():
                    self._advance(number, offset, outputs, now_ms)
        return outputs

    def checkpoint(self, now_ms: int) -> Outputs:
        """The verdicts on trials that changed, unless they say the same again."""
        outputs = Outputs()
        if now_ms < self.rest_until_ms <= now_ms + 1000 * MOST_REST_SECONDS:
            return outputs
        if not self.begun and all(one.ready for one in self.sources.values()):
            self.begun = True
            for name in self.standing.keys() - self.trials.keys():
                self._shorten(name)
        began = self.spent()
        for name, trial in list(self.trials.items()):
            if self.spent() - began > MOST_WORK_SECONDS:
                break
            number = partition_of(name.encode(), self.settings.partitions)
            if not self.sources[number].ready or not trial.look():
                continue
            self.trials[name] = self.trials.pop(name)  # behind those that were not looked at
            if (verdict := self._decided(trial)) is not None and (value := self._news(verdict)) is not None:
                outputs.add("verdicts", number, name.encode(), value)
        self.rest_until_ms = now_ms + round(1000 * min(MOST_REST_SECONDS, REST * (self.spent() - began)))
        return outputs

    def paused(self) -> frozenset[Input]:
        """Partitions of which too much waits to be checked."""
        full = (number for number, one in self.sources.items() if one.waiting_bytes > MOST_WAITING_BYTES)
        return frozenset(("partials", number) for number in full)

    def _advance(self, number: int, known_to: int, outputs: Outputs, now_ms: int) -> None:
        """Apply what waits, in order, up to the first record that cannot be checked yet.

        Args:
            number: The partition.
            known_to: Records before this offset were read before Kafka was asked where the topics end: what cannot be
                so by the answer is set aside.
            outputs: Where dead letters and the position go.
            now_ms: The time.
        """
        source = self.sources[number]
        while source.waiting:
            row = source.waiting[0]
            try:
                self._apply(number, row.key, row.value)
            except Malformed as error:
                if isinstance(error, Beyond) and row.offset >= known_to:
                    break
                self._refuse(row.key, str(error))
                self._set_aside(number, row, str(error), outputs, now_ms)
            source.waiting.popleft()
            source.waiting_bytes -= row.size
        outputs.positions["partials", number] = source.position

    def _apply(self, number: int, key: bytes | None, value: bytes | None) -> None:
        """Take a partial into the state.

        Args:
            number: The partition it was read from.
            key: Its key.
            value: Its value.

        Raises:
            Malformed: It cannot be used.
        """
        name, source = parse_key(key)
        if (home := partition_of(name.trial.encode(), self.settings.partitions)) != number:
            raise Malformed(f"its trial belongs to partition {home}")
        if name.window != (REPLAY if name.segment == VITALS else ALL):
            return  # nothing is decided on it
        claim = read_claim(name, source, value)
        if self.real is not None:
            self.real.check(claim.inputs, claim.times)
        self.trials.setdefault(name.trial, Trial(name.trial)).take(claim)

    def _refuse(self, key: bytes | None, why: str) -> None:
        """A record could not be taken: its trial, if there is one, is not decided before its next partial."""
        try:
            name, source = parse_key(key)
        except Malformed:
            return
        if (trial := self.trials.get(name.trial)) is not None:
            where = f"{name.segment}, {name.window}, source partition {source}"
            trial.refuse(f"A partial of it ({where}) was set aside: {why}.")

    def _set_aside(self, number: int, row: _Row, reason: str, outputs: Outputs, now_ms: int) -> None:
        logger.warning("a partial that cannot be used was set aside: %r: %s", row.key, reason)
        topic = f"{self.settings.namespace}.partials"
        letter = dead_letter(topic, number, row.offset, row.key, row.value, reason=reason, now_ms=now_ms)
        outputs.add("dead-letters", number, letter_key(row.key), letter)

    def _decided(self, trial: Trial) -> Verdict | None:
        """The verdict on a trial, or the record that says why there is none; None where nothing is to be said."""
        trial.tried, whole = True, trial.is_whole
        why = trial.refused or ("" if whole else HALF_READ)
        try:
            seen = self._merged(trial) if whole else None
            if why:
                verdict: Verdict | None = self._undecided(trial, why)
            else:
                verdict = None if seen is None else self._verdict(seen)
        except Exception as error:  # whatever it is: the other trials have nothing to do with it
            why = faults.in_words(error)
            if not trial.fault:
                logger.exception("%s cannot be merged or decided; it is tried again with its next partial", trial.name)
            verdict, whole, trial.gate = self._undecided(trial, why), False, NOT_MERGED
        trial.fault = why
        if whole:
            trial.changed.clear()
            if trial.empty:
                self._forget(trial)
        return verdict

    def _merged(self, trial: Trial) -> Seen | None:
        """Merge what has changed; all that is known of a trial, or None where it has no partial any more."""
        merging = Merging(trial)
        for key in merging.keys:
            if partials := merging.of(key):
                totals = merged(partials)
                check_counts(totals)
                trial.whole[key.segment] = totals
            else:
                trial.whole.pop(key.segment, None)
        if not merging.partials:
            return None
        return Seen(trial.name, merging.partials, trial.whole, trial.vitals(), merging.segments())

    def _verdict(self, seen: Seen) -> Verdict | None:
        if self.settings.without_shadow(shadow_of(seen.trial)):
            return None  # what kind of answers it gave is not known any more: its last verdict stands
        books = books_of(seen.trial, seen.partials, seen.vitals)
        verdict = decided(seen, books, self.settings, self.standing.get(seen.trial))
        if (size := len(encode(verdict)) + len(seen.trial.encode())) > MAX_OUTPUT_BYTES:
            raise ValueError(f"its verdict takes {size:,} bytes, and no record may")
        return verdict

    def _undecided(self, trial: Trial, why: str) -> Verdict:
        records = map(parse_object, trial.values(Key(trial.name)).values())
        at_ms = max((at for one in records if isinstance(at := one.get("updated_ms"), int)), default=0)
        return faults.undecided(trial.name, why, self.standing.get(trial.name), at_ms)

    def _news(self, verdict: Verdict) -> bytes | None:
        """The record of a verdict that says something new; the next one follows from it."""
        name, digest = verdict.trial, _digest(verdict)
        if self.digests.get(name) == digest:
            return None
        self.standing[name], self.digests[name] = verdict, digest
        value = encode(verdict)
        self.show(name.encode(), value)
        return value

    def _recall(self, key: bytes, value: bytes | None) -> None:
        """Take back a verdict that was published; one that nobody here can have written is left out."""
        if b"|" in key:
            return  # what was done about a verdict is kept beside it
        name = key.decode(errors="replace")
        try:
            verdict = None if value is None else self._believed(read_verdict(value, key))
        except Malformed as error:
            logger.error("a verdict that was published is left out: %r: %s", key, error)
            verdict = None
        self.standing.pop(name, None)
        self.digests.pop(name, None)
        if verdict is not None and value is not None:
            self.standing[name], self.digests[name] = verdict, _digest(verdict)
            self.show(key, value)

    def _believed(self, verdict: Verdict) -> Verdict:
        """A verdict that rests on more than there is says only what stood before it: nothing could come after it."""
        ranges = ranges_of(verdict.evidence).items()
        inputs = {(topic, int(one)): after for topic, ones in ranges for one, (_, after) in ones.items()}
        try:
            if self.real is not None:
                self.real.check(inputs, {})
        except Beyond as error:
            logger.error("the verdict on %s is not believed: %s", verdict.trial, error)
            return replace(verdict, evidence={}, fault=str(error))
        return verdict

    def _forget(self, trial: Trial) -> None:
        """Nothing is left of a trial."""
        del self.trials[trial.name]
        self._shorten(trial.name)

    def _shorten(self, name: str) -> None:
        """A trial has no partials. Its verdict stays in the topic; here only what a next one would follow from."""
        self.digests.pop(name, None)
        if (standing := self.standing.get(name)) is not None:
            self.standing[name] = replace(standing, criteria=[], needed={}, books={}, evidence={})


def _digest(verdict: Verdict) -> bytes:
    return hashlib.blake2b(encode(without_positions(verdict)), digest_size=16).digest()
