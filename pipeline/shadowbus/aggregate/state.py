"""The running totals of one source partition: what changed since the last commit, and which windows are too old."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from shadowbus.aggregate.fold import Folded
from shadowbus.aggregate.paired_timings import Timings, paired
from shadowbus.aggregate.startup import Startup
from shadowbus.aggregate.vocabulary import Segments, Vocabulary
from shadowbus.errors import Malformed, StateCorruptError
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import ALL, Key
from shadowbus.totals.noise_floor import NoiseFloor, controls_of
from shadowbus.totals.span import Gates, GateSpan
from shadowbus.totals.totals import Totals

logger = logging.getLogger("shadowbus.aggregate")

MOST_TRIALS = 100
"""How many trials one source partition keeps, the ones counted last: a service that names its models after builds,
say, must not fill the memory."""


class _Reached(Struct, gc=False):
    next_offsets: dict[str, int]


_reached = Decoder(_Reached).decode


@dataclass(slots=True)
class RunningTotals:
    """Totals by key. `kept` holds restored ones as bytes until they are needed: most windows never are again."""

    definitions: MetricDefinitions
    keep_windows: int
    totals: dict[Key, Totals] = field(default_factory=dict)
    kept: dict[Key, bytes] = field(default_factory=dict)
    segments: dict[str, Segments] = field(default_factory=dict)  # restored ones, of trials not yet vocabulary
    vocabularies: dict[str, Vocabulary] = field(default_factory=dict)
    trials: dict[str, None] = field(default_factory=dict)  # that counted longest ago first
    changed: set[Key] = field(default_factory=set)
    dropped: set[Key] = field(default_factory=set)
    next_offsets: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, dict[str, int]] = field(default_factory=dict)
    windows: dict[str, dict[int, set[Key]]] = field(default_factory=dict)
    gates: Gates | None = None
    spans: dict[str, GateSpan] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)  # trials that begin a new span with the next comparison

    def restore(self, key: Key, value: bytes | None) -> None:
        """Take back one record of kept state; the last one of a key counts."""
        if value is None:
            self.kept.pop(key, None)
            if key.window != ALL and (windows := self.windows.get(key.trial)) is not None:
                keys = windows.get(int(key.window), set())
                keys.discard(key)
                if not keys:
                    windows.pop(int(key.window), None)
            return
        self.kept[key] = value
        self.segments.setdefault(key.trial, Segments()).keep(key.segment)
        self._note(key)

    def doubt(self, committed: Mapping[str, int]) -> str:
        """Why the restored totals cannot be those of the last commit; empty where they can.

        Args:
            committed: The committed position of each input. Totals written with that commit or before reach no further.
        """
        for key, value in self.kept.items():
            try:
                offsets = _reached(value).next_offsets
            except (DecodeError, UnicodeDecodeError, RecursionError) as error:
                return f"the kept totals of {key.text()} cannot be read ({error})"
            for topic, offset in offsets.items():
                if offset > committed.get(topic, 0):
                    return (
                        f"the kept totals of {key.text()} count {topic} up to offset {offset}, which is not committed"
                    )
        return ""

    def add(self, folded: Folded, now_ms: int) -> None:
        """Add what a slice brought, then drop the windows that are too old."""
        for key, part in folded.totals.items():
            if key.window != ALL and int(key.window) > now_ms + self.definitions.window_ms:
                continue  # from a clock that runs far ahead: counted in the whole trial only
            self._of(key).absorb(part)
            self.changed.add(key)
            self.dropped.discard(key)
            self._note(key)
        for trial, part in paired(folded.timed, self.trials, self._timings, self.definitions.controls).items():
            self._of(Key(trial)).absorb(part)
            self.changed.add(Key(trial))
        for trial in {key.trial for key in folded.totals}:
            self.trials[trial] = self.trials.pop(trial, None)  # now the one counted last
            self._drop_old(trial)
        while len(self.trials) > MOST_TRIALS:
            self._drop_trial(next(iter(self.trials)))

    def begin(self, topic: str, offsets: Mapping[str, int]) -> None:
        """Note the offset of the first record of each trial, unless one is known already."""
        for trial, offset in offsets.items():
            self.firsts.setdefault(trial, {}).setdefault(topic, offset)

    def firsts_of(self, trial: str) -> dict[str, object]:
        """By topic the offset of the first record that counts for a trial: its own, or one of the control beside it."""
        found = dict(self.firsts.get(trial, {}))
        for control in self._controls(trial):
            for topic, first in self.firsts.get(control, {}).items():
                found[topic] = min(first, found.get(topic, first))
        return dict(sorted(found.items()))

    def vocabulary_of(self, trial: str, *, begins: bool = False) -> Vocabulary:
        """The vocabulary of a trial; after a restart that of before.

        Args:
            trial: Its name.
            begins: Whether this is for a comparison with which a new span may begin, where the gate has changed.

        Raises:
            StateCorruptError: It cannot be read.
        """
        vocabulary = self.vocabularies.get(trial)
        if vocabulary is None:
            vocabulary = self._recalled(trial)
        return self._turned(trial) if begins and trial in self.due else vocabulary

    def note_span(self, trial: str, now_ms: int) -> None:
        """The first records of a span have been added."""
        span, vocabulary, totals = self.spans.get(trial), self.vocabularies[trial], self.totals.get(Key(trial))
        if span is not None and span.number > 1 and not span.began_ms and totals is not None:
            span.began_ms, span.from_ms = now_ms, totals.first_ms or 0
            vocabulary.from_ms = span.from_ms

    def span_of(self, trial: str) -> dict[str, object]:
        """The span of a trial, in the form that a partial has."""
        span, firsts = self.spans.get(trial), dict(sorted(self.firsts.get(trial, {}).items()))
        return {} if span is None else replace(span, first_offsets=firsts).to_record()

    def _timings(self, trial: str) -> Timings:
        return self.vocabulary_of(trial).timings

    def noise_of(self, trial: str) -> NoiseFloor:
        """What is counted of the control beside a trial.

        Raises:
            StateCorruptError: It cannot be read.
        """
        return NoiseFloor.of(self._of(Key(control)) for control in self._controls(trial))

    def take_changes(self) -> tuple[dict[Key, Totals], list[Key]]:
        """What changed and what was dropped since the last call."""
        changed = {key: self._of(key) for key in sorted(self.changed)}
        dropped = sorted(self.dropped)
        self.changed, self.dropped = set(), set()
        return changed, dropped

    def _controls(self, trial: str) -> list[str]:
        controls = controls_of(trial, self.trials, self.definitions.controls) if self.definitions.controls else []
        for control in controls:
            self.vocabulary_of(control)  # before its kept totals are taken
        return controls

    def _of(self, key: Key) -> Totals:
        totals = self.totals.get(key)
        if totals is None:
            value = self.kept.pop(key, None)
            with _readable(key):
                totals = self.totals[key] = Totals() if value is None else _totals(orjson.loads(value))
        return totals

    def _note(self, key: Key) -> None:
        self.trials.setdefault(key.trial)
        if key.window != ALL:
            self.windows.setdefault(key.trial, {}).setdefault(int(key.window), set()).add(key)

    def _recalled(self, trial: str) -> Vocabulary:
        """What was kept of a trial, on the terms of the gate that it is counted by."""
        value, mine = self.kept.get(Key(trial)), None if self.gates is None else self.gates.of(trial)
        with _readable(Key(trial)):
            record = {} if value is None else orjson.loads(value)
            span, definitions = GateSpan.from_record(record.get("span", {})), self.definitions
        if self.gates is not None:
            if span.due(mine, self.gates.since_ms):
                self.due.add(trial)
            elif mine is not None and (span.gate is None or span.gate.hash == mine.hash):
                span = replace(span, gate=mine, since_ms=max(span.since_ms, self.gates.since_ms))
            self.spans[trial], definitions = span, self.gates.definitions_of(trial, span.gate)
        vocabulary = self.vocabularies[trial] = Vocabulary.of(trial, definitions, self.segments.pop(trial, None))
        vocabulary.from_ms = span.from_ms
        if value is not None:
            with _readable(Key(trial)):
                vocabulary.keep({name: list(names) for name, names in record.get("names", {}).items()})
                vocabulary.failures.beginning = Startup.from_record(record.get("beginning", {}))
                first = _totals(record).first_ms
                vocabulary.began_ms = None if first is None else self.definitions.windows.began(first)
                self.firsts[trial] = dict(span.first_offsets) or _firsts(record)
        return vocabulary

    def _turned(self, trial: str) -> Vocabulary:
        """Begin a new span of a trial: of what was counted before, the books need how many there were."""
        assert self.gates is not None  # noqa: S101
        gate, totals = self.gates.of(trial), self._of(Key(trial))
        assert gate is not None  # noqa: S101
        span = self.spans[trial].next(gate, self.gates.since_ms, totals)
        logger.warning(
            "%s: the gate changed (%s): the %d comparisons that this source partition counted before are no longer "
            "part of its verdict",
            trial,
            "; ".join(span.changed),
            sum(span.before.values()),
        )
        self._drop_trial(trial)
        self.spans[trial] = span
        self.vocabularies[trial] = Vocabulary.of(trial, self.gates.definitions)
        self.firsts[trial] = {}
        self.totals[Key(trial)] = Totals()
        self.changed.add(Key(trial))
        self.dropped.discard(Key(trial))
        self._note(Key(trial))
        for control in controls_of(trial, list(self.trials), self.definitions.controls):
            self.vocabulary_of(control, begins=True)  # its gate is part of this one's
        return self.vocabularies[trial]

    def _drop_trial(self, trial: str) -> None:
        """Forget a trial, such as the one that nothing was counted of for longest. Its verdict stays."""
        for key in [key for table in (self.totals, self.kept) for key in table if key.trial == trial]:
            self.totals.pop(key, None)
            self.kept.pop(key, None)
            self.changed.discard(key)
            self.dropped.add(key)
        for of_trials in (self.trials, self.segments, self.vocabularies, self.firsts, self.windows, self.spans):
            of_trials.pop(trial, None)
        self.due.discard(trial)

    def _drop_old(self, trial: str) -> None:
        """Keep the newest windows of a trial, by the time of its records: an old stream replayed has windows too."""
        windows = self.windows.get(trial)
        if not windows:
            return
        oldest = max(windows) - (self.keep_windows - 1) * self.definitions.window_ms
        for start in [start for start in windows if start < oldest]:
            for key in windows.pop(start):
                self.totals.pop(key, None)
                self.kept.pop(key, None)
                self.changed.discard(key)
                self.dropped.add(key)


def _firsts(record: Mapping[str, Any]) -> dict[str, int]:
    """Of an older writer's totals, which do not say, as far back as there may be."""
    found = record.get("first_offsets", dict.fromkeys(record["next_offsets"], 0))
    return {topic: int(offset) for topic, offset in found.items()}


def _totals(record: Mapping[str, Any]) -> Totals:
    return Totals.from_record(record["totals"])


@contextlib.contextmanager
def _readable(key: Key) -> Iterator[None]:
    """What cannot be read inside is kept state that is damaged, and says of what."""
    try:
        yield
    except (Malformed, KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise StateCorruptError(f"the kept totals of {key.text()} cannot be read: {error!r}") from error
