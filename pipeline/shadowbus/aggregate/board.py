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
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from shadowbus.aggregate.evidence import Seen, behind, check, decided, without_positions
from shadowbus.aggregate.fold import Key
from shadowbus.aggregate.merge import aggregate, books_of, merged
from shadowbus.aggregate.segments import ALL
from shadowbus.aggregate.totals import Totals
from shadowbus.errors import Malformed
from shadowbus.records import Partial, Verdict, decode, encode, parse_object
from shadowbus.settings import Settings

logger = logging.getLogger("shadowbus.agents")

VITALS = "vitals"
REPLAY = "replay"


class Publication(NamedTuple):
    """One record to be published: topic, key, value (None deletes)."""

    topic: str
    key: bytes
    value: bytes | None


@dataclass(slots=True)
class _Trial:
    """What is known of one trial.

    Attributes:
        sources: Its keys, with the source partitions they came from.
        whole: Merged totals of the whole trial, by segment.
        changed: What was not published since it changed.
        reached: By source partition, how far any of its partials counts.
        closed: And how far that of the whole trial does, which is written last in each commit.
    """

    sources: dict[Key, set[int]] = field(default_factory=dict)
    whole: dict[str, Totals] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    reached: dict[int, dict[str, int]] = field(default_factory=dict)
    closed: dict[int, dict[str, int]] = field(default_factory=dict)

    def note(self, key: Key, source: int, offsets: Mapping[str, int] | None) -> None:
        """A key changed; without offsets it is gone."""
        sources = self.sources.setdefault(key, set())
        sources.discard(source) if offsets is None else sources.add(source)
        self.changed.add(key)
        if key.segment == VITALS:
            self.changed.add(Key(key.trial))  # its books are the trial's
        elif offsets is not None:
            reached = self.reached.setdefault(source, {})
            reached.update({topic: max(offset, reached.get(topic, 0)) for topic, offset in offsets.items()})
            if key == Key(key.trial):
                self.closed[source] = dict(offsets)

    @property
    def is_whole(self) -> bool:
        """Whether all that belongs to the newest commits has come."""
        return all(_newer(self.closed.get(source, {}), offsets) for source, offsets in self.reached.items())

    def segments(self) -> dict[int, list[str]]:
        """By source partition the segments that are kept apart."""
        found: dict[int, list[str]] = {}
        for key, sources in self.sources.items():
            if key.window == ALL and key.segment not in (ALL, VITALS):
                for source in sources:
                    found.setdefault(source, []).append(key.segment)
        return found


class Board:
    """Keeps partials and says what to publish.

    Args:
        table: Partials and vitals by their keys in the partials topic, as bytes; kept by whoever runs this.
        settings: The gate, and how many source partitions there are.
    """

    def __init__(self, table: MutableMapping[bytes, bytes], settings: Settings) -> None:
        self.table, self.settings = table, settings
        self.trials: dict[str, _Trial] = {}
        self.published: dict[tuple[str, bytes], bytes] = {}
        self.standing: dict[str, Verdict] = {}
        self.before: dict[str, Verdict | None] = {}

    def recall(self, values: Iterable[bytes]) -> None:
        """Take the verdicts that were published before; the next ones follow from them."""
        self.standing, self.before = {}, {}
        for value in values:
            with contextlib.suppress(Malformed):
                verdict = decode(Verdict, value)
                check(verdict)
                self.standing[verdict.trial] = verdict

    def accept(self, key: bytes | None, value: bytes | None) -> bool:
        """Take one record; whether it changed anything.

        Raises:
            Malformed: It is neither a partial nor vitals.
        """
        name, source = _parse_key(key)
        assert key is not None  # noqa: S101
        offsets: dict[str, int] | None = None
        if value is None:
            self.table.pop(key, None)
        else:
            offsets = _next_offsets(value)
            before = self.table.get(key)
            if before is not None and not _newer(offsets, _next_offsets(before)):
                return False
            if name.segment != VITALS:
                _check(value)
            self.table[key] = value
        self.trials.setdefault(name.trial, _Trial()).note(name, source, offsets)
        return True

    def reload(self) -> None:
        """The table is another one now: publish all of it once more."""
        self.trials, self.published = {}, {}
        for key, value in list(self.table.items()):
            name, source = _parse_key(key)
            self.trials.setdefault(name.trial, _Trial()).note(name, source, _next_offsets(value))

    def publish(self, owned: Callable[[str], bool]) -> Iterator[Publication]:
        """What has changed since the last call, of the trials that are `owned`; a trial's verdict comes last."""
        for name, trial in list(self.trials.items()):
            if trial.changed and trial.is_whole and owned(name):
                changed, trial.changed = sorted(trial.changed), set()
                complete = False
                try:
                    yield from self._publish(name, trial, changed)
                    complete = True
                finally:
                    if not complete:
                        trial.changed.update(changed)

    def unpublish(self, publication: Publication) -> None:
        """It could not be published: try again."""
        self.published.pop((publication.topic, publication.key), None)
        name = publication.key.decode().split("|")
        if publication.topic == "verdicts" and (before := self.before.pop(name[0], None)) is not None:
            self.standing[name[0]] = before
        elif publication.topic == "verdicts":
            self.standing.pop(name[0], None)
        if trial := self.trials.get(name[0]):
            trial.changed.add(Key(*name))

    def _publish(self, name: str, trial: _Trial, changed: list[Key]) -> Iterator[Publication]:
        # More may be accepted while this is under way: what it is worked out of is taken now.
        kept = {key: self._kept(key, trial) for key in {*changed, Key(name)} if key.segment != VITALS}
        segments, vitals = trial.segments(), self._vitals(name, trial)
        all_of_it = [decode(Partial, value) for value in kept[Key(name)]]
        books = books_of(name, all_of_it, vitals)
        for key in changed:
            if key.segment == VITALS:
                continue
            partials = [decode(Partial, value) for value in kept[key]]
            if not partials:
                trial.sources.pop(key, None)
                trial.whole.pop(key.segment, None) if key.window == ALL else None
                yield from self._fresh("aggregates", key.text().encode(), None, None)
                continue
            totals = merged(partials)
            if key.window == ALL:
                trial.whole[key.segment] = totals
            shown = books if key == Key(name) else {}
            record = aggregate(key, totals, partials, shown, self.settings, vitals)
            yield from self._fresh("aggregates", key.text().encode(), encode(record), replace(record, updated_ms=0))
        if all_of_it:
            yield from self._verdict(Seen(name, all_of_it, trial.whole, vitals, segments), books)

    def _verdict(self, seen: Seen, books: Mapping[str, Any]) -> Iterator[Publication]:
        before = self.standing.get(seen.trial)
        if before is not None and behind(seen, before):
            logger.info("the verdict on %s that was published rests on more than was read again so far", seen.trial)
            return
        verdict = decided(seen, books, self.settings, before)
        for publication in self._fresh("verdicts", seen.trial.encode(), encode(verdict), without_positions(verdict)):
            self.before[seen.trial], self.standing[seen.trial] = before, verdict
            yield publication

    def _fresh(self, topic: str, key: bytes, value: bytes | None, content: Any) -> Iterator[Publication]:
        """The publication, unless its content is what was published last."""
        digest = b"" if content is None else hashlib.blake2b(encode(content), digest_size=16).digest()
        if self.published.get((topic, key)) != digest:
            self.published[topic, key] = digest
            yield Publication(topic, key, value)

    def _kept(self, key: Key, trial: _Trial) -> list[bytes]:
        values = (self.table.get(f"{key.text()}|{source}".encode()) for source in sorted(trial.sources.get(key, ())))
        return [value for value in values if value is not None]

    def _vitals(self, name: str, trial: _Trial) -> dict[int, dict[str, Any]]:
        key = Key(name, VITALS, REPLAY)
        sources = sorted(trial.sources.get(key, ()))
        values = {source: self.table.get(f"{key.text()}|{source}".encode()) for source in sources}
        return {source: parse_object(value) for source, value in values.items() if value is not None}


def _parse_key(key: bytes | None) -> tuple[Key, int]:
    try:
        trial, segment, window, source = (key or b"").decode().split("|")
        return Key(trial, segment, window), int(source)
    except ValueError:
        raise Malformed(f"the key {key!r:.100} is not trial|segment|window|partition") from None


def _next_offsets(value: bytes) -> dict[str, int]:
    offsets = parse_object(value).get("next_offsets")
    if not isinstance(offsets, dict) or not all(isinstance(offset, int) for offset in offsets.values()):
        raise Malformed("the field 'next_offsets' has to be an object of integers")
    return offsets


def _check(value: bytes) -> None:
    """What cannot be merged later is refused now."""
    try:
        Totals.from_record(decode(Partial, value).totals)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError, OverflowError) as error:
        raise Malformed(f"its totals cannot be read: {error!r}") from None


def _newer(offsets: dict[str, int], before: dict[str, int]) -> bool:
    """Whether it is at least as far as what came before, in every input."""
    return all(offsets.get(topic, 0) >= offset for topic, offset in before.items())
