"""Partials merged into aggregates, for people and dashboards. Pure.

In: partials, in whatever order and however often. Out: an aggregate for each trial, segment and window that changed.
Guaranteed: a partial that comes again, or is older than the one kept, changes nothing; so the same partials give the
same aggregates. A trial is merged as of commits of the aggregate stage as a whole; one that cannot be merged stops no
other one. Nothing is decided here.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from shadowbus.decide.claims import JUDGE, Real, parse_key, read_claim
from shadowbus.decide.evidence import merged, noise_of
from shadowbus.decide.reconciliation import books_of, labels_page
from shadowbus.decide.trial import NOT_MERGED, Merging, Trial
from shadowbus.records import Aggregate, Partial, encode
from shadowbus.settings import Settings
from shadowbus.summary.metrics import summarize
from shadowbus.summary.view import Beside, SummaryOptions
from shadowbus.topology import AGGREGATES
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import ALL, Key

logger = logging.getLogger("shadowbus.agents")


class Aggregates:
    """The newest partials, and the aggregates that follow from them.

    Args:
        settings: What decisions cost.
        real: What partials are checked against; None: all are believed, because nobody else can write them.
    """

    def __init__(self, settings: Settings, real: Real | None = None) -> None:
        self.settings, self.real = settings, real
        self.trials: dict[str, Trial] = {}
        self.digests: dict[bytes, bytes] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Keep one record of the partials topic.

        Raises:
            Malformed: It cannot be used.
        """
        name, source = parse_key(key)
        claim = read_claim(name, source, value)
        if self.real is not None:
            self.real.check(claim.inputs, claim.times)
        self.trials.setdefault(name.trial, Trial(name.trial)).take(claim)

    def changes(self, owned: Callable[[str], bool]) -> Iterator[tuple[bytes, bytes | None]]:
        """The aggregates that changed, of the trials that are `owned`: keys and values; None deletes."""
        for name, trial in list(self.trials.items()):
            if trial.changed and not trial.tried and trial.is_whole and owned(name):
                trial.tried = True
                try:
                    yield from self._merged(trial)
                except Exception as error:  # whatever it is: the other trials have nothing to do with it
                    if not trial.fault:
                        logger.exception("%s cannot be merged; it is tried again with its next partial", name)
                    trial.fault, trial.gate = repr(error), NOT_MERGED

    def forget(self, key: bytes) -> None:
        """An aggregate could not be written: it counts as changed."""
        name = Key(*key.decode().split("|"))
        self.digests.pop(key, None)
        if (trial := self.trials.get(name.trial)) is not None:
            trial.changed.add(name)
            trial.tried = False

    def _merged(self, trial: Trial) -> Iterator[tuple[bytes, bytes | None]]:
        merging, vitals = Merging(trial), trial.vitals()
        settings = self.settings if merging.gate is None else merging.gate.applied(self.settings)
        books = books_of(trial.name, merging.partials, vitals) | {"labels": labels_page(trial.vitals(JUDGE))}
        for name in merging.keys:
            key, partials = name.text().encode(), merging.of(name)
            if not partials:
                self.digests.pop(key, None)
                yield key, None
                continue
            record = aggregate(name, partials, books if name == Key(trial.name) else {}, settings, vitals)
            if (value := self._news(key, record)) is not None:
                yield key, value
        trial.changed.clear()
        trial.fault = ""
        if trial.empty:
            del self.trials[trial.name]

    def _news(self, key: bytes, record: Aggregate) -> bytes | None:
        digest = hashlib.blake2b(encode(replace(record, updated_ms=0)), digest_size=16).digest()
        if self.digests.get(key) == digest:
            return None
        value, self.digests[key] = encode(record), digest
        if len(key) + len(value) > AGGREGATES.max_output_bytes:
            logger.error("the aggregate of %s takes %d bytes, and no record may", key.decode(), len(value))
            return None
        return value


def aggregate(
    key: Key,
    partials: Iterable[Partial],
    books: Mapping[str, Any],
    settings: Settings,
    vitals: Mapping[int, Mapping[str, Any]],
) -> Aggregate:
    """The aggregate of one trial, segment and window; intervals only where somebody decides on them."""
    partials = list(partials)
    totals = merged(partials)
    alpha = settings.gate.alpha if ALL in (key.segment, key.window) else None
    beside = Beside(vitals, noise_of(partials)) if key == Key(key.trial) else None
    options = SummaryOptions(alpha, MetricDefinitions.of(settings).costs, heavy=key.window == ALL)
    summary = summarize(totals, options, beside)
    updated_ms = max((partial.updated_ms for partial in partials), default=0)
    return Aggregate(*key, totals.to_record(), summary, dict(books), updated_ms)
