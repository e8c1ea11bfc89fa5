"""The newest partial of each source partition, and what is published from them. Pure: the table is any mapping.

In: records of the partials topic, in whatever order and however often. Out: aggregates and verdicts, those that
changed. Guaranteed: a partial that is redelivered, or older than the one kept, changes nothing; so the same partials
give the same aggregates and verdicts whatever is redelivered.
"""

import hashlib
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from shadowbus.aggregate.fold import Key
from shadowbus.aggregate.merge import aggregate, books_of, evidence_of, merged, noise_of, verdict_of
from shadowbus.aggregate.segments import ALL
from shadowbus.aggregate.terms import Terms
from shadowbus.aggregate.totals import Totals
from shadowbus.errors import Malformed
from shadowbus.records import Partial, decode, encode, parse_object
from shadowbus.settings import Settings

VITALS = "vitals"
REPLAY = "replay"


class Publication(NamedTuple):
    """One record to be published: topic, key, value (None deletes)."""

    topic: str
    key: bytes
    value: bytes | None


@dataclass(slots=True)
class _Trial:
    """What is known of one trial: its keys with the source partitions they came from, and merged whole-trial totals."""

    sources: dict[Key, set[int]] = field(default_factory=dict)
    whole: dict[str, Totals] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)


class Board:
    """Keeps partials and says what to publish.

    Args:
        table: Partials and vitals by their keys in the partials topic, as bytes; kept by whoever runs this.
        settings: The gate, and how many source partitions there are.
    """

    def __init__(self, table: MutableMapping[bytes, bytes], settings: Settings) -> None:
        self.table, self.settings, self.terms = table, settings, Terms.of(settings)
        self.trials: dict[str, _Trial] = {}
        self.published: dict[tuple[str, bytes], bytes] = {}

    def accept(self, key: bytes | None, value: bytes | None) -> bool:
        """Take one record; whether it changed anything.

        Raises:
            Malformed: It is neither a partial nor vitals.
        """
        name, source = _parse_key(key)
        assert key is not None  # noqa: S101
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
        self._note(name, source, present=value is not None)
        return True

    def reload(self) -> None:
        """The table is another one now: publish all of it once more."""
        self.trials, self.published = {}, {}
        for key in list(self.table.keys()):
            self._note(*_parse_key(key), present=True)

    def publish(self, owned: Callable[[str], bool]) -> Iterator[Publication]:
        """What has changed since the last call, of the trials that are `owned`; a trial's verdict comes last."""
        for name, trial in list(self.trials.items()):
            if trial.changed and owned(name):
                changed, trial.changed = sorted(trial.changed), set()
                yield from self._publish(name, trial, changed)

    def unpublish(self, publication: Publication) -> None:
        """It could not be published: try again."""
        self.published.pop((publication.topic, publication.key), None)
        name = publication.key.decode().split("|")
        if trial := self.trials.get(name[0]):
            trial.changed.add(Key(*name))

    def _publish(self, name: str, trial: _Trial, changed: list[Key]) -> Iterator[Publication]:
        all_of_it = self._partials(Key(name), trial)
        vitals = self._vitals(name, trial)
        books = books_of(name, all_of_it, vitals)
        for key in changed:
            if key.segment == VITALS:
                continue
            partials = self._partials(key, trial)
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
            as_of_ms = max(partial.updated_ms for partial in all_of_it)
            verdict = verdict_of(
                evidence_of(name, trial.whole, books, self.terms, noise_of(all_of_it), vitals),
                self.settings.gate,
                books,
                as_of_ms,
            )
            yield from self._fresh("verdicts", name.encode(), encode(verdict), replace(verdict, decided_ms=0))

    def _fresh(self, topic: str, key: bytes, value: bytes | None, content: Any) -> Iterator[Publication]:
        """The publication, unless its content is what was published last."""
        digest = b"" if content is None else hashlib.blake2b(encode(content), digest_size=16).digest()
        if self.published.get((topic, key)) != digest:
            self.published[topic, key] = digest
            yield Publication(topic, key, value)

    def _partials(self, key: Key, trial: _Trial) -> list[Partial]:
        values = (self.table.get(f"{key.text()}|{source}".encode()) for source in sorted(trial.sources.get(key, ())))
        return [decode(Partial, value) for value in values if value is not None]

    def _vitals(self, name: str, trial: _Trial) -> dict[int, dict[str, Any]]:
        key = Key(name, VITALS, REPLAY)
        values = {source: self.table.get(f"{key.text()}|{source}".encode()) for source in trial.sources.get(key, ())}
        return {source: parse_object(value) for source, value in values.items() if value is not None}

    def _note(self, key: Key, source: int, *, present: bool) -> None:
        trial = self.trials.setdefault(key.trial, _Trial())
        sources = trial.sources.setdefault(key, set())
        sources.add(source) if present else sources.discard(source)
        trial.changed.add(key)
        if key.segment == VITALS:
            trial.changed.add(Key(key.trial))  # its books are the trial's


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
