"""The stages of one backtest, in memory, each record handed on as soon as it is made. Time is what the caller says.

The same objects that workers run over Kafka, over one partition. A comparison's time is that of its request, and so it
is the same however far ahead the model works.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.json import Decoder

from shadowbus.agents.aggregates import Aggregates
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.backtest.judging import ONE, Judging
from shadowbus.backtest.results import Folder
from shadowbus.decide.reconciliation import STILL_MS
from shadowbus.decide.stage import DecideStage
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, RecordBatch, Row

FORGET_EVERY = 20_000
"""How many comparisons come between two times that replay forgets old ids."""

LOOK_FIRST, LOOK_GROWTH = 1_000, 1.5
"""The gate looks after so many comparisons, and again each time they have grown by so much: a verdict rests on what
stood before it, and a live one is looked at too."""


class _Timed(Struct, gc=False):
    timestamp_ms: int


_timed = Decoder(_Timed).decode


class Flow:
    """Replay of every shadow, the judge, aggregate, decide and the agents.

    Args:
        settings: With one partition.
        replays: One for each shadow.
        judge: The judge.
        folder: Where records go.
    """

    def __init__(
        self,
        settings: Settings,
        replays: Sequence[ReplayStage],
        judge: Judging,
        folder: Folder,
    ) -> None:
        self.settings, self.replays, self.judge, self.folder = settings, replays, judge, folder
        self.aggregate = AggregateStage(ONE, settings)
        self.made: Counter[str] = Counter()
        self.deciding, self.agents = DecideStage(ONE, settings, spent=lambda: 0.0), Aggregates(settings)
        self.published: dict[tuple[str, bytes], bytes] = {}
        self.lags: Mapping[Input, int] = {}
        self._forget_at, self._look_at = FORGET_EVERY, float(LOOK_FIRST)

    def take(self, pieces: Iterable[RecordBatch], now_ms: int, lags: Mapping[Input, int]) -> None:
        """Take new records of inputs, and let time pass."""
        self.lags = lags
        halves = []
        for piece in pieces:
            self.made[piece.topic] += len(piece.offsets)
            if piece.topic == "labels":
                self._judge(piece, now_ms)
            else:
                halves.append(piece)
        for replay in self.replays:
            if halves:
                self._pass_on(replay.process(halves, now_ms), now_ms)
            self._pass_on(replay.tick(now_ms, lags), now_ms)
        if self.made["comparisons"] >= self._forget_at:
            self._forget_at = self.made["comparisons"] + FORGET_EVERY
            for replay in self.replays:
                replay.checkpoint(now_ms)
        if self.made["comparisons"] >= self._look_at:
            self._look_at = LOOK_GROWTH * self.made["comparisons"]
            self._look(now_ms)

    def paused(self) -> frozenset[Input]:
        """Inputs that are too far ahead."""
        return frozenset[Input]().union(*(replay.paused() for replay in self.replays))

    def drain(self, now_ms: int) -> None:
        """Let every model answer what is under way, the judge too, and the books be told."""
        for replay in self.replays:
            self._pass_on(replay.drain(now_ms), now_ms)
        for outputs in self.judge.rest():
            self._pass_on(outputs, now_ms)

    def decide(self, now_ms: int) -> list[bytes]:
        """Write aggregates and verdicts as they stand at the end; returns the verdicts.

        The books are told twice, `STILL_MS` apart, since only a difference that stays is a gap.
        """
        self.aggregate.tick(now_ms, {("comparisons", 0): 0})
        self.drain(now_ms)
        self._publish(now_ms)
        self.drain(now_ms + STILL_MS)
        self._look(now_ms + STILL_MS)
        for topic in ("aggregates", "verdicts"):
            self.folder.write(topic, (value for (of, _), value in self.published.items() if of == topic))
        return [value for (topic, _), value in self.published.items() if topic == "verdicts"]

    def close(self) -> None:
        """Forget what is under way."""
        for replay in self.replays:
            replay.close()

    def _publish(self, now_ms: int) -> None:
        rows = self.aggregate.checkpoint(now_ms).records.get("partials", [])
        for _, key, value in rows:
            self.agents.take(key, value)
        if rows:
            self.deciding.process([self._slice("partials", rows, [now_ms] * len(rows))], now_ms)
        self.deciding.tick(now_ms, {("partials", 0): 0})

    def _look(self, now_ms: int) -> None:
        self._publish(now_ms)
        for key, value in self.agents.changes(lambda _: True):
            self._keep("aggregates", key, value)
        for _, name, verdict in self.deciding.checkpoint(now_ms).records.get("verdicts", ()):
            self.folder.write("looks", [verdict or b""])
            self._keep("verdicts", name or b"", verdict)

    def _keep(self, topic: str, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.published.pop((topic, key), None)
        else:
            self.published[topic, key] = value

    def _pass_on(self, outputs: Outputs, now_ms: int) -> None:
        for topic, rows in outputs.records.items():
            if not rows:
                continue  # a piece of work that came to nothing
            if topic == "dead-letters":
                self.folder.keep_letters(value for _, _, value in rows)
            elif topic in ("comparisons", "outcomes"):
                self._hand_on(topic, rows, now_ms)
            elif topic == "vitals":
                self._count(self._slice(topic, rows, [now_ms] * len(rows)), now_ms)

    def _hand_on(self, topic: str, rows: list[Row], now_ms: int) -> None:
        values = [value or b"" for _, _, value in rows]
        piece = self._slice(topic, rows, [_timed(value).timestamp_ms for value in values])
        self.folder.write(topic, values)
        if topic == "comparisons":
            self._judge(piece, now_ms)
        self._count(piece, now_ms)

    def _judge(self, piece: RecordBatch, now_ms: int) -> None:
        for outputs in self.judge.take(piece, now_ms, self.lags):
            self._pass_on(outputs, now_ms)

    def _slice(self, topic: str, rows: list[Row], times: list[int]) -> RecordBatch:
        start = self.made[topic]
        self.made[topic] += len(rows)
        keys, values = [key for _, key, _ in rows], [value for _, _, value in rows]
        return RecordBatch(topic, 0, keys, values, times, list(range(start, start + len(rows))))

    def _count(self, piece: RecordBatch, now_ms: int) -> None:
        self._pass_on(self.aggregate.process([piece], now_ms), now_ms)
