"""A changed gate begins a new span of a trial: nothing of two gates is mixed, and a verdict belongs to one."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from downstream import Downstream
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.cli.read.overview import gate_notes
from shadowbus.cli.read.verdict import show
from shadowbus.decide.verify import Recount
from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.flow import check_verdicts
from shadowbus.gates import Gate, differs, sentence
from shadowbus.notify.due import Change
from shadowbus.notify.messages import chat
from shadowbus.promotion.course import NotAllowed, Standing, begun, check_verdict, finished
from shadowbus.records import Verdict, decode, encode
from shadowbus.settings import Settings, parse_settings
from shadowbus.settings.webhook import NotifySettings
from shadowbus.stage import RecordBatch
from shadowbus.story.trial import Told, tell

TRIAL, TWIN = "live@1~new@2", "live@1~twin@1"
DOCUMENT: dict[str, Any] = {
    "namespace": "spans",
    "partitions": 2,
    "kafka": {"bootstrap.servers": "nowhere:1"},
    "gate": {"min_requests": 10, "latency_budget_ms": 9.0, "max_over_budget": 0.5, "min_agreement": 0.5},
    "cost": [{"label": "yes", "prediction": "no", "cost": 2.0}],
    "shadow": [{"name": "new", "model": "m"}, {"name": "twin", "model": "m", "control": True}],
}


def settings(**changes: Any) -> Settings:
    return parse_settings({**DOCUMENT, **changes}, Path("shadow.toml"), {})


def gated(**changes: Any) -> Settings:
    return settings(gate={**DOCUMENT["gate"], **changes})


OLD = settings()
NEW = gated(latency_budget_ms=3.0)
OTHER_NEW = [{**DOCUMENT["shadow"][0], "options": {"same_class": {"yes": 1}}}, DOCUMENT["shadow"][1]]


class World:
    """The topics, and what was committed: partials by key, with the partition they lie in."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.topics: dict[tuple[str, int], list[tuple[int, bytes]]] = {}
        self.kept: dict[bytes, tuple[int, bytes]] = {}
        self.done: dict[tuple[str, int], int] = {}
        self.count: dict[tuple[str, int], int] = {}

    def write(
        self, count: int, *, source: int = 0, at_ms: int, trial: str = TRIAL, topic: str = "comparisons", **more: Any
    ) -> None:
        """Records of requests of that time, written then."""
        rows = self.topics.setdefault((topic, source), [])
        for _ in range(count):
            answer = {"model": "m", "prediction": "yes", "scores": None, "latency_ms": 6.0, "error": None}
            record: dict[str, Any] = {"timestamp_ms": at_ms, "trial": trial, "agree": self.rng.random() < 0.9}
            record |= {"segments": {"country": self.rng.choice(("DE", "FR"))}}
            if topic == "comparisons":
                self.count[trial, source] = self.count.get((trial, source), 0) + 1
                record |= {"status": "compared", "live": answer, "shadow": answer, "distance": 0.5}
                record |= {"number": self.count[trial, source]}
            else:
                record |= {"label": "yes", "live": answer, "shadow": answer, "live_loss": 0.1, "shadow_loss": 0.2}
                record |= {"live_correct": True, "shadow_correct": True}
            rows.append((at_ms, orjson.dumps({**record, **more})))

    def slice(self, topic: str, source: int, first: int, after: int) -> RecordBatch:
        rows = self.topics.get((topic, source), [])[first:after]
        values: list[bytes | None] = [value for _, value in rows]
        here = list(range(first, first + len(rows)))
        return RecordBatch(topic, source, [b"k"] * len(rows), values, [at for at, _ in rows], here)

    def worker(self, settings: Settings, since_ms: int, *held: int) -> AggregateStage:
        """One that has just been given these source partitions."""
        stage = AggregateStage(frozenset(held), settings, since_ms=since_ms)
        for target in range(2):
            mine = {key: value for key, (at, value) in self.kept.items() if at == target}
            stage.restore(RecordBatch("partials", target, [*mine], [*mine.values()], [0] * len(mine), [0] * len(mine)))
        stage.resume_at({key: done for key, done in self.done.items() if key[1] in held})
        return stage

    def run(self, stage: AggregateStage, *, commit: bool = True, now_ms: int = 99_000) -> None:
        """Take all there is, in one transaction; without a commit it is as if it had been killed."""
        for source in stage.sources:
            for topic in ("comparisons", "outcomes"):
                first, end = self.done.get((topic, source), 0), len(self.topics.get((topic, source), ()))
                if first < end:
                    stage.process([self.slice(topic, source, first, end)], now_ms)
                    if commit:
                        self.done[topic, source] = end
        rows = stage.checkpoint(now_ms).records.get("partials", [])
        for target, key, value in rows if commit else ():
            assert key is not None
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = (target, value)

    def partial(self, source: int = 0, trial: str = TRIAL) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.kept[f"{trial}|all|all|{source}".encode()][1])
        return found

    def board(self, board: Downstream) -> Iterable[Verdict]:
        """The verdicts on the trial that follow."""
        for key, (_, value) in sorted(self.kept.items(), key=lambda item: b"|all|all|" in item[0]):
            board.take(key, value)
        for one in [*board.publish()]:
            if one.topic == "verdicts" and one.key == TRIAL.encode():
                yield decode(Verdict, one.value)

    def decided(self, used: Settings, before: Verdict | None = None) -> Verdict:
        board = Downstream(used)
        if before is not None:
            board.restart(verdicts={TRIAL.encode(): encode(before)})
        (verdict,) = self.board(board)
        again = Recount(verdict, settings(gate={}))  # whatever the settings of today are
        for (topic, source), (first, after) in again.ranges.items():
            middle = (first + after) // 2
            for piece in (self.slice(topic, source, first, middle), self.slice(topic, source, middle, after)):
                if piece.offsets:
                    again.take(piece)
        assert encode(again.result()) == encode(verdict), "it is had again from the topics, byte for byte"
        return verdict


def counted(verdict: Verdict) -> int:
    """What the books say was counted."""
    by_status: Any = verdict.books["by_status"]
    found: int = by_status["compared"]["counted"]
    return found


CHANGES = {
    "gate.latency_budget_ms": NEW,
    "gate.alpha": gated(alpha=0.01),
    "gate.accuracy_margin": gated(accuracy_margin=0.1),
    "cost": settings(cost=[]),
    "segment": settings(segment=[{"name": "age", "feature": "age", "edges": [20, 40]}]),
    "shadow.task": settings(shadow=[{**DOCUMENT["shadow"][0], "task": "regression"}, DOCUMENT["shadow"][1]]),
    "shadow.options": settings(shadow=OTHER_NEW),
    "shadow.timeout_ms": settings(shadow=[{**DOCUMENT["shadow"][0], "timeout_ms": 90.0}, DOCUMENT["shadow"][1]]),
    "controls": settings(shadow=[DOCUMENT["shadow"][0], {**DOCUMENT["shadow"][1], "control": False}]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_counted_or_shown_by_other_settings_begins_a_new_span(name: str) -> None:
    world, now = World(), CHANGES[name]
    for trial in (TRIAL, TWIN):
        world.write(40, at_ms=1_000, trial=trial, agree=False)
        world.write(20, at_ms=1_000, trial=trial, topic="outcomes")
    world.run(world.worker(OLD, 500, 0, 1))
    first = world.decided(OLD)
    assert (first.gate["span"], first.requests, sentence(first.gate)) == (1, 40, "")
    world.write(5, at_ms=1_500, agree=False)  # written before anybody had read the new settings
    for trial in (TWIN, TRIAL):
        world.write(30, at_ms=3_000, trial=trial, agree=True)
        world.write(7, at_ms=1_000, trial=trial, topic="outcomes")  # of requests of before
        world.write(9, at_ms=3_000, trial=trial, topic="outcomes")
    stage = world.worker(now, 2_000, 0, 1)
    world.run(stage, commit=False)
    world.run(world.worker(now, 2_500, 0, 1), now_ms=4_000)
    second = world.decided(now, first)
    assert (second.requests, second.labels) == (30, 9)
    assert (second.gate["span"], second.gate["changed_ms"]) == (2, 4_000)
    assert second.gate["hash"] == Gate.of(now, "new").hash != first.gate["hash"]
    gate: Any = second.gate
    assert gate["changed"][0].startswith(name)
    assert gate["changed"][0] in sentence(gate)
    assert world.partial()["span"]["before"] == {"compared": 45}
    assert counted(second) == 75
    segments = [key for key in world.kept if key.startswith(f"{TRIAL}|country=".encode())]
    assert (
        sum(orjson.loads(world.kept[key][1])["totals"]["statuses"]["compared"] for key in segments if b"|all|" in key)
        == 30
    )
    world.write(3, at_ms=5_000)
    world.run(world.worker(now, 5_000, 0, 1))
    third = world.decided(now, second)
    assert (third.gate["span"], third.requests, third.gate.get("changed_ms")) == (2, 33, 4_000)


def test_what_only_says_how_long_to_wait_begins_nothing() -> None:
    world = World()
    world.write(40, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    world.write(1, at_ms=3_000)
    world.run(world.worker(gated(min_requests=999, min_days=3, max_memory_mb=9.0), 2_000, 0, 1))
    verdict = world.decided(OLD)
    assert (verdict.gate["span"], verdict.requests) == (1, 41)
    limits = {one["name"]: one["limit"] for one in verdict.criteria if isinstance(one, dict)}
    assert (limits["requests"], limits["days"]) == (999, 3)


def test_a_partition_that_counts_by_another_gate_is_left_out_until_it_does_not() -> None:
    """In a rolling deployment the verdict is of the partitions that have the newer settings, and says so."""
    world = World()
    for source in (0, 1):
        world.write(40, source=source, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    before = world.decided(OLD)
    old, new = world.worker(OLD, 600, 1), world.worker(NEW, 2_000, 0)
    for source in (0, 1):
        world.write(30, source=source, at_ms=3_000)
    world.run(old)
    world.run(new)
    verdict = world.decided(OLD, before)  # whoever decides goes by the gate of the partials
    assert (verdict.requests, verdict.gate["elsewhere"], verdict.gate["hash"]) == (30, [1], Gate.of(NEW, "new").hash)
    assert "Source partitions 1 have counted nothing by this gate yet" in sentence(verdict.gate)
    assert counted(verdict) == 140
    world.write(10, source=1, at_ms=4_000)
    world.run(world.worker(NEW, 3_500, 1))
    verdict = world.decided(NEW, verdict)
    assert (verdict.requests, "elsewhere" in verdict.gate) == (40, False)


def test_two_workers_with_other_settings_do_not_begin_spans_for_ever() -> None:
    """The one that started later counts; the other one counts by its gate, whichever partitions they hand over."""
    world = World()
    world.write(10, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    for turn in range(6):
        world.write(10, at_ms=3_000 + turn)
        world.run(world.worker(OLD, 500, 0, 1) if turn % 2 else world.worker(NEW, 2_000, 0, 1))
    assert world.partial()["span"]["number"] == 2
    assert world.partial()["totals"]["statuses"] == {"compared": 60}
    assert world.partial()["totals"]["over_budget"] == 60, "by the budget of the newer settings, whoever has counted it"
    world.decided(OLD)
    world.write(10, at_ms=9_000)
    world.run(world.worker(OLD, 8_000, 0, 1))  # started again with the old ones: that is a change
    assert world.partial()["span"]["number"] == 3
    assert world.decided(NEW).requests == 10


def test_labels_alone_and_settings_without_its_shadow_begin_nothing() -> None:
    world = World()
    world.write(40, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    world.write(8, at_ms=1_000, topic="outcomes")
    world.run(world.worker(NEW, 2_000, 0, 1))
    assert (world.partial()["span"]["number"], world.partial()["totals"]["labels"]) == (1, 8)
    world.write(5, at_ms=3_000)
    world.run(world.worker(settings(shadow=[{"name": "else", "model": "m"}]), 2_500, 0, 1))
    assert (world.partial()["span"]["number"], world.partial()["totals"]["over_budget"]) == (1, 0)
    assert world.decided(OLD).gate["hash"] == Gate.of(OLD, "new").hash


def test_send_back_by_the_gate_of_before_can_still_be_acted_on_and_promote_needs_todays() -> None:
    world = World()
    world.write(90, at_ms=1_000)
    world.run(world.worker(NEW, 500, 0, 1))
    first = world.decided(OLD)
    assert first.verdict == "SEND_BACK"
    world.write(5, at_ms=3_000, agree=True)
    world.run(world.worker(OLD, 2_000, 0, 1))
    second = world.decided(OLD, first)
    assert (second.verdict, second.previous) == ("KEEP_WATCHING", None)
    assert "By the gate of before it was SEND BACK." in sentence(second.gate)
    world.write(200, at_ms=4_000, agree=True)
    world.run(world.worker(OLD, 2_000, 0, 1))
    third = world.decided(OLD, second)
    for verdict in (first, second, third):
        standing = Standing("spans", verdict)
        check_verdict(standing, "send_back")
        done = begun(standing, "send_back", "ann", 1, approval=False, means="command")
        assert done.binding == Standing("spans", first).binding("send_back")
        assert finished(Standing("spans", verdict, done), "send_back") is None
    with pytest.raises(NotAllowed):
        check_verdict(Standing("spans", second), "promote")
    assert differs(OLD, TRIAL, third.gate) == ""
    assert "gate.latency_budget_ms: 9.0 → 3.0" in differs(NEW, TRIAL, third.gate)


@pytest.mark.parametrize(
    "odd", [{"gate": 1}, {"gate": {}}, {"before": 7}, {"number": -1}, {"first_offsets": {"a": "b"}}]
)
def test_a_partial_with_a_span_that_is_none_is_refused(odd: dict[str, Any]) -> None:
    world = World()
    world.write(40, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    key = f"{TRIAL}|all|all|0".encode()
    record = world.partial()
    board = Downstream(OLD)
    board.take(key, orjson.dumps({**record, "span": {**record["span"], **odd}}))
    (letter,) = board.letters
    assert any(word in orjson.loads(letter)["reason"] for word in ("span", "gate"))


def test_a_change_is_said_wherever_the_verdict_is(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.write(40, at_ms=1_000)
    world.run(world.worker(OLD, 500, 0, 1))
    world.write(40, at_ms=3_000)
    world.run(world.worker(NEW, 2_000, 0, 1), now_ms=1_764_504_000_000)
    verdict = world.decided(NEW)
    told = sentence(verdict.gate)
    assert told.startswith("The gate changed at 2025-11-30 12:00 UTC (gate.latency_budget_ms: 9.0 → 3.0)")
    (trial,) = tell([Told(TRIAL, history=[verdict])]).trials
    (finding,) = check_verdicts(Evidence(NEW, 0, verdicts=(verdict,)))
    message = chat(Change(NotifySettings("chat", "https://chat.example"), verdict, "PROMOTE", 1), "")
    show(verdict, {})
    shown = " ".join(capsys.readouterr().out.split())
    assert told in trial.warnings  # the page and the report
    assert all(told in place for place in (finding.evidence, shown, *gate_notes(NEW, [verdict])))
    assert told in orjson.loads(message)["text"]
