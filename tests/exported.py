"""A run of the real stages in this process, and what its workers would show to Prometheus. Clock in hand, no Kafka."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from downstream import Downstream
from fakes.instant_model import Doubler, InstantModel
from promql import Sample, samples_of
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.compare import make_comparator
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.trial import TrialCollector
from shadowbus.exporter.trials import Trials
from shadowbus.exporter.worker import WorkerCollector
from shadowbus.judge.stage import JudgeStage
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.circuit_breaker import CircuitBreaker
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.model.vitals import ModelVitals
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import Outputs, RecordBatch, Stage

TRIAL, CONTROL = "live@1~new@1", "live@1~same@1"
REQUESTS, LABELS, FIRST_MS = 400, 300, 1_700_000_000_000


LAST = {"verdicts": "decide", "aggregates": "agents"}
"""Who writes which topic at the end."""


def settings_in(folder: Path) -> Settings:
    """Every criterion is on, and there is a cost matrix."""
    document = {
        "namespace": "n",
        "partitions": 1,
        "shadow": [{"name": "new", "model": "m"}, {"name": "same", "model": "m", "control": True}],
        "cost": [{"label": 2, "prediction": 4, "cost": 1.0}],
        "gate": {
            "min_requests": 10,
            "min_labels": 10,
            "max_error_rate": 0.5,
            "latency_budget_ms": 50.0,
            "max_over_budget": 0.5,
            "min_agreement": 0.1,
            "accuracy_margin": 0.5,
        },
        "worker": {"vitals_seconds": 0.0},
    }
    return parse_settings(document, folder / "shadow.toml", {})


class Shadow(InstantModel):
    """The instant model, of which every row is timed, with the vitals of one that died twice."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = Predictor(Doubler(), SingleRowSampler(1.0))

    def report(self) -> dict[str, object]:
        vitals = ModelVitals(rows=REQUESTS, batches=9, loads=3)
        vitals.deaths.update(crash=1, timeout=1)
        return {"name": self.model, "network": "off", "network_missed": 2, **vitals.record(CircuitBreaker(10.0), 0.0)}


class Worker:
    """One stage with a meter, as the loop drives it; what it writes is collected by topic."""

    def __init__(self, name: str, shadow: str, stage: Stage) -> None:
        self.stage, self.meter = stage, Meter(name, shadow, f"{name}-0")
        self.meter.holds(1)
        self.written: dict[str, list[tuple[bytes | None, bytes | None]]] = {}

    def run(self, topics: Iterable[str], records: dict[str, list[tuple[bytes | None, bytes | None]]]) -> None:
        """Give it all records of these topics, and commit."""
        batch = [_slice(topic, records[topic]) for topic in topics]
        self.meter.took(batch)
        self._keep(self.stage.process(batch, FIRST_MS + 1_000))
        self.meter.lags = {(topic, 0): 0 for topic in topics}
        self._keep(self.stage.tick(FIRST_MS + 1_000, self.meter.lags))
        self._keep(self.stage.drain(FIRST_MS + 1_000))
        self._keep(self.stage.checkpoint(FIRST_MS + 1_000))
        self.meter.committed(0.02, FIRST_MS + 1_000)

    def _keep(self, outputs: Outputs) -> None:
        self.meter.wrote(outputs)
        for topic, rows in outputs.records.items():
            self.written.setdefault(topic, []).extend((key, value) for _, key, value in rows)


def _slice(topic: str, records: list[tuple[bytes | None, bytes | None]]) -> RecordBatch:
    keys, values = [key for key, _ in records], [value for _, value in records]
    return RecordBatch(topic, 0, keys, values, [FIRST_MS] * len(records), list(range(len(records))))


def expose(*collectors: Collector) -> str:
    """What `/metrics` would say."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def run_in_process(folder: Path) -> tuple[dict[str, str], list[Sample]]:
    """What each worker shows after some hundred requests, by stage; and all samples as Prometheus has them."""
    settings = settings_in(folder)
    comparator = make_comparator("classification", {})
    model = cast(ModelProcess, Shadow())
    held = frozenset({0})
    replay = Worker("replay", "new", ReplayStage(
        held, settings=settings, shadow=settings.shadow[0], model=model, comparator=comparator, worker="replay-0"
    ))  # fmt: skip
    judge = Worker("judge", "", JudgeStage(
        held, settings=settings, comparators={"new": comparator}, folder=folder / "judge", worker="judge-0"
    ))  # fmt: skip
    aggregate = Worker("aggregate", "", AggregateStage(held, settings))
    records = {"requests": _requests(), "predictions": _predictions(), "labels": _labels()}
    replay.run(("requests", "predictions"), records)
    records.update(replay.written)
    judge.run(("comparisons", "labels"), records)
    records.update({"outcomes": judge.written["outcomes"]})
    # The control says what the shadow says, so as often something else than the champion.
    records["comparisons"] = [
        (key, (value or b"").replace(TRIAL.encode(), CONTROL.encode())) for key, value in records["comparisons"]
    ] + records["comparisons"]
    aggregate.run(("comparisons", "outcomes", "vitals"), records)
    judge.stage.close()
    by_topic = {topic: (Meter(stage, worker=f"{stage}-0"), Trials()) for topic, stage in LAST.items()}
    downstream = Downstream(settings)
    for key, value in aggregate.written["partials"]:
        downstream.take(key, value)
        for meter, _ in by_topic.values():
            meter.read["partials"] += 1
    for publication in downstream.publish():
        meter, trials = by_topic[publication.topic]
        trials.take(*publication)
        meter.written[publication.topic] += 1
    shown = {worker.meter.stage: expose(WorkerCollector(worker.meter)) for worker in (replay, judge, aggregate)}
    for meter, trials in by_topic.values():
        shown[meter.stage] = expose(WorkerCollector(meter), TrialCollector(trials))
    return shown, [sample for stage, text in shown.items() for sample in samples_of(text, f"{stage}:9400")]


def _each(count: int, make: Callable[[int], dict[str, object]]) -> list[tuple[bytes | None, bytes | None]]:
    made = [(f"r{n}", {"request_id": f"r{n}", "timestamp_ms": FIRST_MS, **make(n)}) for n in range(count)]
    return [(key.encode(), json.dumps(record).encode()) for key, record in made]


def _requests() -> list[tuple[bytes | None, bytes | None]]:
    """One in twenty lacks what the model needs: it raises."""
    return _each(
        REQUESTS,
        lambda n: {"features": {} if n % 20 == 0 else {"x": n % 3}, "segments": {"country": "DE" if n % 2 else "FR"}},
    )


def _predictions() -> list[tuple[bytes | None, bytes | None]]:
    found = _each(REQUESTS, lambda n: {"model": "live@1", "prediction": 2 * (n % 3) if n % 7 else 9, "latency_ms": 1.5})
    return [*found, (b"bad", b"no JSON")]


def _labels() -> list[tuple[bytes | None, bytes | None]]:
    return _each(LABELS, lambda n: {"label": 2 * (n % 3)})
