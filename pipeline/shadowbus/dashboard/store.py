"""What has been read so far, and the story it tells: worked out once for all viewers."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from shadowbus.dashboard.example import Example, Examples, Question, example_of, label_of
from shadowbus.errors import Malformed
from shadowbus.records import Aggregate, Promotion, Verdict, decode
from shadowbus.records.published import read_aggregate, read_verdict
from shadowbus.stage import RecordBatch
from shadowbus.story.history import remember
from shadowbus.story.trial import Story, tell, trials_of

MOST_TRIALS = 50
STALE_MS = 10_000
"""After so long the story is told again though nothing came, because that is worth telling."""
TIMES = ("first_ms", "last_ms")

Connection = Literal["loading", "live", "lost"]


@dataclass(frozen=True, slots=True)
class Running:
    """The shadows that are the champion itself, and the version that runs, by shadow, as far as that is known."""

    controls: frozenset[str] = frozenset()
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One state of the page: a higher `version` is newer.

    `histories` are the verdicts of each trial.
    `as_of_ms` is when anything came last; `note` says what is wrong with the connection.
    """

    version: int = 0
    story: Story = field(default_factory=lambda: tell([]))
    histories: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    connection: Connection = "loading"
    note: str = ""
    as_of_ms: int = 0


class Store:
    """Records in, views out. One thread gives it records; any thread may ask.

    Args:
        ask: Says what runs by the settings as they are now; they are changed while the page is open.
    """

    def __init__(self, ask: Callable[[], Running] | None = None) -> None:
        self._ask, self._asked_ms, self._running = ask, 0, Running()
        self._lock = threading.Lock()
        self._aggregates: dict[bytes, Aggregate] = {}
        self._history: dict[str, list[Verdict]] = {}
        self._examples: dict[str, Examples] = {}
        self._acts: dict[str, Promotion] = {}
        self._changed = False
        self._told_ms = 0
        self._view = View()

    @property
    def view(self) -> View:
        """The newest."""
        return self._view

    def examples(self, trial: str, question: Question, most: int) -> list[Example]:
        """The newest examples of a trial that are asked for."""
        with self._lock:
            found = self._examples.get(trial)
            return found.found(question, most) if found is not None else []

    def forget(self) -> None:
        """Everything is about to be read once more."""
        with self._lock:
            self._aggregates, self._history, self._examples, self._acts = {}, {}, {}, {}

    def take(self, slices: Iterable[RecordBatch]) -> None:
        """Add records; what cannot be read is left out, as it is a matter of the workers and not of the page."""
        with self._lock:
            for piece in slices:
                for key, value in zip(piece.keys, piece.values, strict=True):
                    self._take(piece.topic, key, value)
                self._changed = True
            self._forget_old()

    def show(self, connection: Connection, note: str, now_ms: int) -> None:
        """Make a new view of what has been read, if there is anything new."""
        before, version = self._view, self._view.version + 1
        if not self._changed and now_ms - self._told_ms < STALE_MS:
            if (connection, note) != (before.connection, before.note):
                self._view = replace(before, version=version, connection=connection, note=note)
            return
        as_of_ms = now_ms if self._changed else before.as_of_ms
        with self._lock:
            told = trials_of(self._aggregates.values(), self._history, self._acts)[:MOST_TRIALS]
            histories = {trial: tuple(verdicts) for trial, verdicts in self._history.items()}
            self._changed, self._told_ms = False, now_ms
        if self._ask is not None and now_ms - self._asked_ms >= STALE_MS:
            self._running, self._asked_ms = self._ask(), now_ms
        story = tell(told, now_ms, self._running.controls, self._running.versions)
        self._view = View(version, story, histories, connection, note, as_of_ms)

    def _forget_old(self) -> None:
        """Keep the newest trials, by what was published of them last; those of which nothing was come after them."""
        of_trials: tuple[dict[str, Any], ...] = (self._history, self._examples, self._acts)
        newest: dict[str, int] = dict.fromkeys((name for kept in of_trials for name in kept), 0)
        for one in self._aggregates.values():
            if one.segment == one.window == "all":
                newest[one.trial] = one.updated_ms
        if len(newest) <= 2 * MOST_TRIALS:
            return
        gone = set(sorted(newest, key=lambda name: (newest[name], name))[:-MOST_TRIALS])
        for kept in of_trials:
            for name in gone & kept.keys():
                del kept[name]
        self._aggregates = {key: one for key, one in self._aggregates.items() if one.trial not in gone}

    def _take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        try:
            match topic:
                case "aggregates":
                    self._take_aggregate(key or b"", value)
                case "verdicts" if b"|" in (key or b""):
                    self._take_act(value)
                case "verdicts" if value is not None:
                    verdict = read_verdict(value, key)
                    remember(self._history.setdefault(verdict.trial, []), verdict)
                case "verdicts":
                    self._history.pop((key or b"").decode("utf-8", "replace"), None)
                case "comparisons" if value is not None:
                    trial, example = example_of(value)
                    self._examples.setdefault(trial, Examples()).take(example)
                case "outcomes" if value is not None:
                    trial, request_id, label, right = label_of(value)
                    self._examples.setdefault(trial, Examples()).judge(request_id, label, right)
        except Malformed:
            return

    def _take_act(self, value: bytes | None) -> None:
        """Of the records that stand beside a trial's verdict only those of acting on it are shown."""
        if value is not None:
            act = decode(Promotion, value)
            self._acts[act.trial] = act

    def _take_aggregate(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._aggregates.pop(key, None)
            return
        record = read_aggregate(value, key)
        if "all" in (record.segment, record.window):  # windows of segments are not shown
            times = {name: record.totals.get(name) for name in TIMES}
            self._aggregates[key] = replace(record, totals=times)
