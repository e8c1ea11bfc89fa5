"""The tables of `shadow.toml` that are no more than a few values each."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    max_error_rate: float | None = None
    latency_budget_ms: float | None = None
    max_over_budget: float | None = None
    max_slowdown: float | None = None
    min_agreement: float | None = None
    accuracy_margin: float | None = None
    guard_segments: bool = True
    prove_segments: bool = False
    min_accuracy_gain: float | None = None
    max_loss_increase: float | None = None
    min_value_gain: float | None = None
    max_calibration_error: float | None = None
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
