"""The newest partial of each source partition, and what is published from them. Pure: the table is any mapping.

In: records of the partials topic, in whatever order and however often. Out: aggregates and verdicts, those that
changed. Guaranteed: a partial that is redelivered, or older than the one kept, changes nothing; so the same partials,
and the same verdict standing before them, give the same aggregates and verdicts whatever is redelivered. A trial is
published only as of commits of the aggregate as a whole, so that what a verdict says it rests on is all it rests on.
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, NamedTuple

from shadowbus.decide import faults
from shadowbus.decide.claims import (
    JUDGE,
    REPLAY,
    Beyond,
    Real,
    check_partial,
    hold,
    newer,
    parse_key,
    reaches,
)
from shadowbus.decide.decision import Seen, behind, decided, without_positions
from shadowbus.decide.evidence import aggregate, books_of, merged
from shadowbus.decide.reconciliation import labels_page
from shadowbus.decide.trial import HALF_READ, TrialState
from shadowbus.errors import Malformed
from shadowbus.records import Partial, Verdict, decode, encode, parse_object
from shadowbus.records.published import ranges_of, read_verdict
from shadowbus.settings import Settings
from shadowbus.topology import MAX_RECORD_BYTES
from shadowbus.totals.key import ALL, VITALS, Key
from shadowbus.totals.span import gate_of, of_one_gate
from shadowbus.trials import shadow_of, verdicts_in

logger = logging.getLogger("shadowbus.agents")


MOST_WAITING = 8
"""So many records of a key may wait to be proved, the newest."""


class Publication(NamedTuple):
    """One record to be published: topic, key, value (None deletes)."""

    topic: str
    key: bytes
    value: bytes | None


class Board:
    """Keeps partials and says what to publish.

    Args:
        table: Partials and vitals by their keys in the partials topic, as bytes; kept by whoever runs this.
        settings: The gate, and how many source partitions there are.

    Attributes:
        real: What claims are held against; None: all are believed, because nobody else can write the partials.
        instead: What counts in place of the table, by key; None: nothing does. The table may be written only while a
            record is taken, and what is found to be wrong in it is found at other times.
        waiting: By key what counts more than there was known to be when it came, with the origins.
    """

    def __init__(self, table: MutableMapping[bytes, bytes], settings: Settings) -> None:
        self.table, self.settings = table, settings
        self.real: Real | None = None
        self.instead: dict[bytes, bytes | None] = {}
        self.waiting: dict[bytes, list[tuple[bytes, Any]]] = {}
        self.trials: dict[str, TrialState] = {}
        self.published: dict[tuple[str, bytes], bytes] = {}
        self.standing: dict[str, Verdict] = {}
        self.before: dict[str, Verdict | None] = {}

    def recall(self, table: Mapping[bytes, bytes]) -> None:
        """Take the verdicts that were published before, by their keys; the next ones follow from them."""
        self.standing, self.before = {}, {}
        for key, value in verdicts_in(table).items():
            try:
                verdict = read_verdict(value, key)
            except Malformed as error:
                logger.error("a verdict that was published is left out: %r: %s", key, error)
            else:
                self.standing[verdict.trial] = self._believed(verdict)

    def accept(self, key: bytes | None, value: bytes | None, origin: Any = None) -> bool:
        """Take one record; whether it changes anything.

        One that counts more than there is known to be waits for `prove`, and what was believed counts until then.

        Args:
            key: Its key.
            value: Its value.
            origin: What `prove` shall return with it, should it be refused.

        Raises:
            Malformed: It is neither a partial nor vitals.
        """
        name, source = parse_key(key)
        assert key is not None  # noqa: S101
        offsets: dict[str, int] | None = None
        if value is None:
            self.table.pop(key, None)
            self.waiting.pop(key, None)
        else:
            offsets = reaches(name, value)
            check_partial(name, source, value)
            if key in self.waiting or not self._is_so(name, source, value):
                self.instead[key] = self._get(key)
                self.waiting[key] = [*self.waiting.get(key, [])[1 - MOST_WAITING :], (value, origin)]
                self.table[key] = value
                return True
            before = self._get(key)
            if before is not None and not newer(offsets, reaches(name, before)):
                return False
            self.table[key] = value
        self.instead.pop(key, None)
        self.trials.setdefault(name.trial, TrialState()).note(name, source, offsets)
        return True

    def prove(self) -> list[tuple[Any, str]]:
        """Believe what waits, as far as it can be so by what is real now; the origins of all else, with the reasons."""
        refused: list[tuple[Any, str]] = []
        waiting, self.waiting = self.waiting, {}
        for key, rows in waiting.items():
            name, source = parse_key(key)
            for value, origin in rows:
                try:
                    if self.real is not None:
                        hold(name, source, value, self.real)
                except Beyond as error:
                    self.refuse(key, str(error))
                    refused.append((origin, str(error)))
                    continue
                before = self._get(key)
                if before is None or newer(reaches(name, value), reaches(name, before)):
                    self.instead[key] = value
                    self.trials.setdefault(name.trial, TrialState()).note(name, source, reaches(name, value))
            if self.instead.get(key) == self.table.get(key):
                self.instead.pop(key, None)
        return refused

    def refuse(self, key: bytes | None, why: str) -> None:
        """A record could not be taken: its trial, if there is one, is not decided before its next partial."""
        with contextlib.suppress(Malformed):
            name, source = parse_key(key)
            if name.trial in self.trials:
                where = f"{name.segment}, {name.window}, source partition {source}"
                self.trials[name.trial].refuse(name.trial, f"A partial of it ({where}) was set aside: {why}.")

    def reload(self) -> None:
        """The table is another one now: publish all of it once more."""
        self.trials, self.published, self.instead, self.waiting = {}, {}, {}, {}
        for key, value in list(self.table.items()):
            try:
                name, source = parse_key(key)
                offsets = reaches(name, value)
            except Malformed as error:
                self.instead[key] = None
                logger.error("a partial that was kept cannot be used: %r: %s", key, error)
            else:
                self.trials.setdefault(name.trial, TrialState()).note(name, source, offsets)

    def doubt(self) -> bool:
        """Let go of what was believed and cannot be so, now that it is known what can; whether there is any such."""
        for key, kept in list(self.table.items()):
            value = self.instead.get(key, kept)  # what counts, also where something newer waits to be proved
            if self.real is not None and value is not None:
                name, source = parse_key(key)
                try:
                    hold(name, source, value, self.real)
                except Malformed as error:
                    logger.error("a partial that was believed is not any more: %r: %s", key, error)
                    self.instead[key] = None
                    self.trials[name.trial].forget(name, source)
        return None in self.instead.values()

    def mend(self, rows: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Put earlier records in place of those that were let go of.

        Args:
            rows: All that the partials topic still has, in its order.
        """
        for key, value in rows:
            if key in self.instead and value is not None:
                with contextlib.suppress(Malformed):
                    name, source = parse_key(key)
                    offsets = reaches(name, value)
                    check_partial(name, source, value)
                    if self.real is not None:
                        hold(name, source, value, self.real)
                    self.instead[key] = value
                    self.trials.setdefault(name.trial, TrialState()).note(name, source, offsets)
        for key in [key for key, value in self.instead.items() if value is None]:
            self.refuse(key, "it counts what Kafka does not have, or cannot be read, and no earlier one is left")

    def publish(self, owned: Callable[[str], bool]) -> Iterator[Publication]:
        """What has changed since the last call, of the trials that are `owned`; a trial's verdict comes last.

        A trial that cannot be merged or decided is published as such, and stops no other one.
        """
        for name, trial in list(self.trials.items()):
            if owned(name) and trial.look():
                yield from self._tried(name, trial)

    def unpublish(self, publication: Publication, why: str = "") -> None:
        """It could not be published: try again, after all other trials; with a reason, say so in place of a verdict."""
        self.published.pop((publication.topic, publication.key), None)
        name = publication.key.decode().split("|")
        if publication.topic == "verdicts" and (before := self.before.pop(name[0], None)) is not None:
            self.standing[name[0]] = before
        elif publication.topic == "verdicts":
            self.standing.pop(name[0], None)
        trial = self.trials[name[0]] = self.trials.pop(name[0], TrialState())
        trial.changed.add(Key(*name))
        trial.tried = False
        if why:
            trial.refuse(name[0], f"It cannot be published: {why}.")

    def _tried(self, name: str, trial: TrialState) -> Iterator[Publication]:
        # While this is published more may be accepted, which is for the next time.
        changed, trial.changed, trial.tried = sorted(trial.changed), set(), True
        whole, complete, why = trial.is_whole, False, trial.refused
        why = why if whole or why else HALF_READ
        try:
            if whole:
                yield from self._publish(name, trial, changed, why)
            if why:
                yield from self._undecided(name, trial, why)
            complete, trial.fault = whole, why
        except Exception as error:  # whatever it is: the other trials have nothing to do with it
            if not trial.fault:
                logger.exception("%s cannot be merged or decided; it is tried again with its next partial", name)
            yield from self._undecided(name, trial, faults.in_words(error))
            trial.fault = faults.in_words(error)
        finally:
            if not complete:
                trial.changed.update(changed)
        if complete and not trial.sources:
            self._forget(name)

    def _publish(self, name: str, trial: TrialState, changed: list[Key], why: str) -> Iterator[Publication]:
        # More may be accepted while this is under way: what it is worked out of is taken now.
        all_of_it = of_one_gate([decode(Partial, value) for value in self._kept(Key(name), trial)])
        elsewhere = frozenset(one.partition for one in all_of_it if one.span.get("elsewhere"))
        settings, gate = self.settings, gate_of(all_of_it)
        if gate is not None:
            settings, counted = gate.applied(settings), (gate.hash, elsewhere)
            if counted != trial.gate:  # what was merged by another gate, or without one of its partitions, is not true
                changed, trial.gate = sorted({*changed, *trial.sources}), counted
        kept = {key: self._kept(key, trial) for key in changed if key.segment != VITALS}
        segments, vitals = trial.segments(), self._vitals(name, trial)
        segments = {source: names for source, names in segments.items() if source not in elsewhere}
        books = books_of(name, all_of_it, vitals)
        labels = labels_page(self._vitals(name, trial, JUDGE))  # not of what a verdict rests on
        for key in changed:
            if key.segment == VITALS:
                if not trial.sources.get(key):
                    trial.drop(key)
                continue
            partials = all_of_it if key == Key(name) else [decode(Partial, value) for value in kept[key]]
            partials = [one for one in partials if key == Key(name) or one.partition not in elsewhere]
            if not partials:
                trial.drop(key, wholly=not kept[key])
                self.published.pop(("aggregates", key.text().encode()), None)
                yield Publication("aggregates", key.text().encode(), None)
                continue
            totals = merged(partials)
            if key.window == ALL:
                trial.whole[key.segment] = totals
            shown = {**books, "labels": labels} if key == Key(name) else {}
            record = aggregate(key, totals, partials, shown, settings, vitals)
            yield from self._fresh("aggregates", key.text().encode(), encode(record), replace(record, updated_ms=0))
        if all_of_it and not why:
            yield from self._verdict(Seen(name, all_of_it, trial.whole, vitals, segments), books)

    def _verdict(self, seen: Seen, books: Mapping[str, Any]) -> Iterator[Publication]:
        if self.settings.without_shadow(shadow_of(seen.trial)):
            return  # what kind of answers it gave is not known any more: its last verdict stands
        before = self.standing.get(seen.trial)
        if before is not None and behind(seen, before):
            logger.info("the verdict on %s that was published rests on more than was read again so far", seen.trial)
            return
        yield from self._stands(decided(seen, books, self.settings, before))

    def _undecided(self, name: str, trial: TrialState, why: str) -> Iterator[Publication]:
        values = self._kept(Key(name), trial)
        at_ms = max((at for value in values if isinstance(at := parse_object(value).get("updated_ms"), int)), default=0)
        yield from self._stands(faults.undecided(name, why, self.standing.get(name), at_ms))

    def _stands(self, verdict: Verdict) -> Iterator[Publication]:
        name = verdict.trial
        for publication in self._fresh("verdicts", name.encode(), encode(verdict), without_positions(verdict)):
            self.before[name], self.standing[name] = self.standing.get(name), verdict
            yield publication

    def _fresh(self, topic: str, key: bytes, value: bytes, content: Any) -> Iterator[Publication]:
        """The publication, unless its content is what was published last."""
        if len(value) + len(key) > MAX_RECORD_BYTES:
            raise ValueError(f"what there is to say of {key.decode()} takes {len(value):,} bytes, and no record may")
        digest = hashlib.blake2b(encode(content), digest_size=16).digest()
        if self.published.get((topic, key)) != digest:
            self.published[topic, key] = digest
            yield Publication(topic, key, value)

    def _forget(self, name: str) -> None:
        """Nothing is left of a trial. Its verdict stays in the topic; here only what a next one would follow from."""
        del self.trials[name]
        if (standing := self.standing.get(name)) is not None:
            self.standing[name] = replace(standing, criteria=[], needed={}, books={}, evidence={})
        self.before.pop(name, None)
        self.published.pop(("verdicts", name.encode()), None)

    def _believed(self, verdict: Verdict) -> Verdict:
        """A verdict that rests on more than there is says only what stood before it: nothing could come after it."""
        ranges = ranges_of(verdict.evidence).items()
        claims = {(topic, int(one)): after for topic, ones in ranges for one, (_, after) in ones.items()}
        try:
            if self.real is not None:
                self.real.check(claims, {})
        except Beyond as error:
            logger.error("the verdict on %s is not believed: %s", verdict.trial, error)
            return replace(verdict, evidence={}, fault=str(error))
        return verdict

    def _is_so(self, name: Key, source: int, value: bytes) -> bool:
        try:
            if self.real is not None:
                hold(name, source, value, self.real)
        except Beyond:
            return False
        return True

    def _get(self, key: bytes) -> bytes | None:
        return self.instead[key] if key in self.instead else self.table.get(key)

    def _kept(self, key: Key, trial: TrialState) -> list[bytes]:
        values = (self._get(f"{key.text()}|{source}".encode()) for source in sorted(trial.sources.get(key, ())))
        return [value for value in values if value is not None]

    def _vitals(self, name: str, trial: TrialState, stage: str = REPLAY) -> dict[int, dict[str, Any]]:
        key = Key(name, VITALS, stage)
        sources = sorted(trial.sources.get(key, ()))
        values = {source: self._get(f"{key.text()}|{source}".encode()) for source in sources}
        return {source: parse_object(value) for source, value in values.items() if value is not None}
