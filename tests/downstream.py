"""Decide and the agents behind a list of partials, clock in hand: what they write, and how they go on after a crash."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple

from shadowbus.agents.aggregates import Aggregates
from shadowbus.decide.claims import Real, parse_key
from shadowbus.decide.stage import DecideStage
from shadowbus.errors import Malformed
from shadowbus.partitioners import partition_of
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, RecordBatch


class Publication(NamedTuple):
    """One record that was written; no value deletes."""

    topic: str
    key: bytes
    value: bytes | None


class Downstream:
    """The two last stages over the partials topic of one namespace.

    Attributes:
        letters: The dead letters so far.
        verdicts: The newest verdict of each trial, as Kafka keeps it.
        partials: The newest partial of each key, as Kafka keeps it.
    """

    def __init__(
        self, settings: Settings, real: Real | None = None, ask: Callable[[], Future[Mapping[Input, int]]] | None = None
    ) -> None:
        self.settings, self.real, self.ask = settings, real, ask
        self.now_ms = real.now_ms if real is not None else 0
        self.letters: list[bytes] = []
        self.verdicts: dict[bytes, bytes] = {}
        self.partials: dict[bytes, bytes] = {}
        self.offsets, self.positions = Counter[int](), dict[Input, int]()
        self._begin()

    def _begin(self) -> None:
        held = frozenset(range(self.settings.partitions))
        self.decide = DecideStage(held, self.settings, self.real, self.ask, spent=lambda: 0.0)
        self.agents = Aggregates(self.settings, self.real)

    def restart(
        self, settings: Settings | None = None, verdicts: Mapping[bytes, bytes] | None = None, *, ready: bool = True
    ) -> None:
        """Go on after a crash: new objects over what Kafka keeps, perhaps with other settings or verdicts."""
        self.settings = settings or self.settings
        self._begin()
        for key, value in (self.verdicts if verdicts is None else verdicts).items():
            self.decide.restore(_piece("verdicts", self.home(key), key, value, 0))
        committed: dict[Input, int] = {("partials", one): self.offsets[one] for one in range(self.settings.partitions)}
        assert set(self.decide.resume_at(committed).values()) == {0}
        for key, value in self.partials.items():
            self.decide.reread(_piece("partials", self.home(key), key, value, 0))
            with contextlib.suppress(Malformed):
                self.agents.take(key, value)
        if ready:
            self.tick()

    def home(self, key: bytes) -> int:
        """The partition of a key's trial."""
        return partition_of(key.split(b"|")[0], self.settings.partitions)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """One more partial."""
        number = self.home(key or b"")
        offset = self.offsets[number]
        self.offsets[number] += 1
        self._note(self.decide.process([_piece("partials", number, key, value, offset)], self.now_ms))
        with contextlib.suppress(Malformed):
            self.agents.take(key, value)
        with contextlib.suppress(Malformed):
            parse_key(key)
            assert key is not None
            self.partials.pop(key, None)
            if value is not None:
                self.partials[key] = value

    def tick(self) -> None:
        """Let time pass at the end of the partials."""
        lags: dict[Input, int] = {("partials", one): 0 for one in range(self.settings.partitions)}
        self._note(self.decide.tick(self.now_ms, lags))

    def publish(self) -> list[Publication]:
        """All that is written at the next commit."""
        self.tick()
        found = [Publication("aggregates", key, value) for key, value in self.agents.changes(lambda _: True)]
        return [*found, *self._note(self.decide.checkpoint(self.now_ms))]

    def _note(self, outputs: Outputs) -> list[Publication]:
        self.positions.update(outputs.positions)
        self.letters += [value or b"" for _, _, value in outputs.records.get("dead-letters", ())]
        made = [Publication("verdicts", key or b"", value) for _, key, value in outputs.records.get("verdicts", ())]
        self.verdicts.update({one.key: one.value for one in made if one.value is not None})
        return made


def answered(ends: Mapping[Input, int]) -> Callable[[], Future[Mapping[Input, int]]]:
    """Kafka's answer to where the topics end, there at once."""

    def ask() -> Future[Mapping[Input, int]]:
        future = Future[Mapping[Input, int]]()
        future.set_result(ends)
        return future

    return ask


def taken(settings: Settings, rows: Iterable[tuple[bytes, bytes]], real: Real | None = None) -> Downstream:
    """The stages behind these partials."""
    found = Downstream(settings, real)
    for key, value in rows:
        found.take(key, value)
    return found


def _piece(topic: str, number: int, key: bytes | None, value: bytes | None, offset: int) -> RecordBatch:
    return RecordBatch(topic, number, [key], [value], [0], [offset])
