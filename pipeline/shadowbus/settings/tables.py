"""The tables of `shadow.toml` that are no more than a few values each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Limit = Literal["share", "difference", "number", "ratio"]
"""What the limit of a criterion may be: more than 0 and less than 1; from 0 to less than 1; any number; 1/8 to 8."""


def _limit(of: Limit, meaning: str) -> Any:
    """The limit of a criterion, off unless it is set; docs/settings.md has its meaning."""
    return field(default=None, metadata={"limit": of, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """One `[[shadow]]`: a model that is watched."""

    name: str
    model: str
    task: str = "classification"
    options: Mapping[str, object] = field(default_factory=dict)
    timeout_ms: float = 250.0
    allow_pickle: bool = False
    trusted_types: tuple[str, ...] = ()
    threads: int = 1
    memory_mb: int = 4096
    load_seconds: float = 60.0
    network: bool = False
    environment: tuple[str, ...] = ()
    control: bool = False
    mlflow_model: str = ""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`[gate]`: what must be shown before a verdict. A criterion that is absent is off."""

    alpha: float = 0.05
    min_requests: int = 1000
    min_labels: int = 0
    max_error_rate: float | None = _limit("share", "The shadow may fail at most this share of requests.")
    latency_budget_ms: float | None = None
    max_over_budget: float | None = _limit("share", "At most this share of requests may take longer than the budget.")
    max_slowdown: float | None = _limit(
        "ratio", "How many times as long as the control it may take for the same rows; needs a control."
    )
    min_agreement: float | None = _limit("share", "At least this share of answers has to be the live model's.")
    accuracy_margin: float | None = _limit(
        "difference", "The shadow may be less accurate than the live model by at most this; needs labels."
    )
    guard_segments: bool = True
    prove_segments: bool = False
    min_accuracy_gain: float | None = _limit(
        "difference", "The shadow has to be more accurate than the live model by at least this; needs labels."
    )
    max_loss_increase: float | None = _limit(
        "number", "Its mean loss may be above the live one by at most this (below 0: has to be below it)."
    )
    min_value_gain: float | None = _limit(
        "number", "Its decisions have to be worth this much more, each, by `[[cost]]`; below 0: a margin."
    )
    max_calibration_error: float | None = _limit(
        "share", "Its expected calibration error may be at most this; needs labels and scores."
    )
    max_cpu_ms_per_row: float | None = None
    max_memory_mb: float | None = None
    min_days: float = 0.0
    labels_at_random: bool = False


@dataclass(frozen=True, slots=True)
class CostSettings:
    """One `[[cost]]`: what it costs to answer `prediction` where `label` is what really happened."""

    label: str | int | float | bool
    prediction: str | int | float | bool
    cost: float


@dataclass(frozen=True, slots=True)
class RekeySettings:
    """`[rekey]`: topics of yours that are keyed or partitioned otherwise. The stage runs where one is named."""

    requests: str = ""
    predictions: str = ""
    labels: str = ""
    id_field: str = "request_id"

    @property
    def sources(self) -> dict[str, str]:
        """The full names of the topics to read, by the topic that each is moved to."""
        named = {"requests": self.requests, "predictions": self.predictions, "labels": self.labels}
        return {target: source for target, source in named.items() if source}


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """`[replay]`: how halves wait for each other, and how much work is taken at once."""

    join_window_ms: int = 60_000
    remember_ids: int = 100_000
    max_pending: int = 200_000
    max_batch: int = 1_000
    single_row_share: float = 0.05
    timed: str = ""
    keep_share: float = 1.0
    shed_when_behind_seconds: float = 0.0
    min_share: float = 0.01
    features_share: float = 0.0


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """`[judge]`: how long a comparison waits for its label, and where."""

    horizon_days: float = 30.0
    state_dir: str = ""


@dataclass(frozen=True, slots=True)
class AggregateSettings:
    """`[aggregate]`: the windows that totals are kept for, beside the whole trial."""

    window_seconds: int = 300
    keep_windows: int = 288
    publish_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`[worker]`: what every exactly-once worker shares."""

    commit_ms: int = 100
    fetch_records: int = 1_000
    session_timeout_ms: int = 6_000
    transaction_timeout_ms: int = 20_000
    operation_seconds: float = 15.0
    vitals_seconds: float = 2.0
    restarts_without_progress: int = 10


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`[metrics]`: where each worker shows its numbers to Prometheus. Off where the port is 0."""

    port: int = 0
    host: str = "127.0.0.1"
