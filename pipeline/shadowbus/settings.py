"""One `shadow.toml` in, frozen settings out, and for every mistake a sentence that says where it is.

Strings may hold `${NAME}` or `${NAME:-default}`, filled from the environment. A key nobody knows is an error that names
the file, the key and the nearest right one. Paths are relative to the settings file.
"""

import dataclasses
import math
import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shadowbus.errors import SettingsError
from shadowbus.settings_backtest import BacktestSettings, check_backtest
from shadowbus.settings_promotion import PromotionSettings, check_promotion, without_password
from shadowbus.settings_segment import SegmentSettings, check_segments
from shadowbus.settings_table import filled_in, read_table
from shadowbus.settings_webhook import NotifySettings, check_notify, shown_address
from shadowbus.topology import topic_names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a namespace and a shadow may be called: it becomes part of topic names."""

MAX_PORT = 65_535

_SECRET = re.compile(r"password|secret|token|credential|\bkey\b|\.key\.|pem$", re.IGNORECASE)
_ADDRESSES = {"url", "webhook"}
"""Keys whose value is an address, which may have a secret in its path."""


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """One `[[shadow]]`: a model that is watched."""

    name: str
    model: str
    task: str = "classification"
    options: Mapping[str, object] = field(default_factory=dict)
    timeout_ms: float = 250.0
    allow_pickle: bool = False
    threads: int = 1
    memory_mb: int = 4096
    load_seconds: float = 60.0
    control: bool = False


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`[gate]`: what must be shown before a verdict. A criterion that is absent is off."""

    alpha: float = 0.05
    min_requests: int = 1000
    min_labels: int = 0
    max_error_rate: float | None = None
    latency_budget_ms: float | None = None
    max_over_budget: float | None = None
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


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`[metrics]`: where each worker shows its numbers to Prometheus. Off where the port is 0."""

    port: int = 0
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in one `shadow.toml`."""

    namespace: str
    partitions: int = 4
    replication: int = 1
    kafka: Mapping[str, object] = field(default_factory=dict)
    shadow: tuple[ShadowSettings, ...] = ()
    segment: tuple[SegmentSettings, ...] = ()
    cost: tuple[CostSettings, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    gate: GateSettings = field(default_factory=GateSettings)
    rekey: RekeySettings = field(default_factory=RekeySettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    aggregate: AggregateSettings = field(default_factory=AggregateSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    promotion: PromotionSettings = field(default_factory=PromotionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)
    source: Path = Path("shadow.toml")

    def shadow_named(self, name: str) -> ShadowSettings:
        """The shadow of that name.

        Raises:
            SettingsError: There is none; the message lists those there are.
        """
        for shadow in self.shadow:
            if shadow.name == name:
                return shadow
        known = ", ".join(shadow.name for shadow in self.shadow) or "none at all"
        raise SettingsError(f"{self.source} has no shadow named {name!r}; it has {known}.")

    def model_path(self, shadow: ShadowSettings) -> Path:
        """Where the shadow's bundle is, taken relative to the settings file."""
        return (self.source.parent / shadow.model).resolve()

    @property
    def state_dir(self) -> Path:
        """Where the judge keeps its local state, taken relative to the settings file."""
        return (self.source.parent / (self.judge.state_dir or f".shadowbus/{self.namespace}")).resolve()

    def kafka_for(self, role: typing.Literal["consumer", "producer", "admin"]) -> dict[str, object]:
        """The librdkafka properties of one role: those of `[kafka]`, then those of `[kafka.<role>]`."""
        shared = {key: value for key, value in self.kafka.items() if not isinstance(value, Mapping)}
        own = self.kafka.get(role, {})
        return {**shared, **(own if isinstance(own, Mapping) else {})}


SHARES = (
    *("max_error_rate", "max_over_budget", "min_agreement"),
    *("accuracy_margin", "min_accuracy_gain", "max_calibration_error"),
)
"""Limits of the gate that are between 0 and 1."""


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: The file is not there, is not TOML, or a key or value in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}: write one (see the README), "
            "or name yours with --config or SHADOWBUS_CONFIG."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}.") from error
    return parse_settings(document, path, os.environ if environment is None else environment)


def parse_settings(document: Mapping[str, object], source: Path, environment: Mapping[str, str]) -> Settings:
    """Turn a parsed document into settings; `source` is named in every error."""
    if "source" in document:
        raise SettingsError(f"{source}: unknown key 'source'.")
    expanded = filled_in(document, f"{source}", environment)
    settings = read_table(Settings, expanded, source, "")
    settings = dataclasses.replace(settings, source=source)
    _check(settings)
    return settings


def masked(settings: Settings) -> dict[str, object]:
    """The settings as plain data, with whatever may be a secret replaced by stars."""

    def mask(value: object, key: str) -> object:
        if isinstance(value, Mapping):
            return {name: mask(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [mask(inner, key) for inner in value]
        if isinstance(value, Path):
            return str(value)
        if key in _ADDRESSES and isinstance(value, str) and value:
            return shown_address(value)
        if key == "mlflow_uri" and isinstance(value, str):
            return without_password(value)
        return "********" if value and isinstance(value, str) and _SECRET.search(key) else value

    return {name: mask(value, name) for name, value in dataclasses.asdict(settings).items()}


def _check(settings: Settings) -> None:
    def need(condition: bool, key: str, rule: str) -> None:
        if not condition:
            raise SettingsError(f"{settings.source}: '{key}' {rule}.")

    need(bool(NAME.fullmatch(settings.namespace)), "namespace", "may hold letters, digits, '.', '_' and '-'")
    need(settings.partitions >= 1, "partitions", "has to be at least 1")
    need(settings.replication >= 1, "replication", "has to be at least 1")
    names = [shadow.name for shadow in settings.shadow]
    for i, shadow in enumerate(settings.shadow):
        need(
            bool(NAME.fullmatch(shadow.name)),
            f"shadow[{i}].name",
            "may hold letters, digits, '.', '_' and '-'",
        )
        need(names.count(shadow.name) == 1, f"shadow[{i}].name", f"{shadow.name!r} is used twice")
        need(shadow.timeout_ms > 0, f"shadow[{i}].timeout_ms", "has to be more than 0")
        most = settings.worker.transaction_timeout_ms / 10  # or a row that hangs is not told from others in time
        need(shadow.timeout_ms <= most, f"shadow[{i}].timeout_ms", "is over a tenth of worker.transaction_timeout_ms")
        need(shadow.threads >= 1, f"shadow[{i}].threads", "has to be at least 1")
        need(shadow.memory_mb >= 1, f"shadow[{i}].memory_mb", "has to be at least 1")
    gate = settings.gate
    need(0 < gate.alpha < 1, "gate.alpha", "has to be between 0 and 1")
    for key in SHARES:
        limit = getattr(gate, key)
        need(limit is None or 0 <= limit <= 1, f"gate.{key}", "has to be between 0 and 1")
    for key in ("max_loss_increase", "min_value_gain", "max_cpu_ms_per_row", "max_memory_mb"):
        limit = getattr(gate, key)
        need(limit is None or math.isfinite(limit), f"gate.{key}", "has to be a finite number")
    need(not gate.prove_segments or gate.guard_segments, "gate.prove_segments", "needs gate.guard_segments")
    need(0 <= gate.min_days < math.inf, "gate.min_days", "has to be at least 0")
    need(gate.min_value_gain is None or bool(settings.cost), "gate.min_value_gain", "needs a cost matrix: [[cost]]")
    need(
        (gate.latency_budget_ms is None) == (gate.max_over_budget is None),
        "gate.latency_budget_ms",
        "and gate.max_over_budget go together: set both or none",
    )
    pairs = [(str(cost.label), str(cost.prediction)) for cost in settings.cost]
    for i, (cost, pair) in enumerate(zip(settings.cost, pairs, strict=True)):
        need(math.isfinite(cost.cost), f"cost[{i}].cost", "has to be a finite number")
        need(
            pairs.count(pair) == 1,
            f"cost[{i}]",
            f"names label {cost.label!r} with prediction {cost.prediction!r} twice",
        )
    own, sources = topic_names(settings.namespace, tuple(names)), list(settings.rekey.sources.values())
    for key, source in settings.rekey.sources.items():
        need(bool(NAME.fullmatch(source)), f"rekey.{key}", "has to be the whole name of a topic")
        need(sources.count(source) == 1, f"rekey.{key}", f"{source!r} is named twice")
        need(source not in own, f"rekey.{key}", f"has to be a topic of yours, and {source!r} belongs to this namespace")
    need(all(settings.rekey.id_field.split(".")), "rekey.id_field", "names a field, with dots where it lies deeper")
    replay = settings.replay
    for key, count in (
        ("worker.commit_ms", settings.worker.commit_ms),
        ("replay.join_window_ms", replay.join_window_ms),
        ("replay.max_batch", replay.max_batch),
        ("aggregate.window_seconds", settings.aggregate.window_seconds),
    ):
        need(count >= 1, key, "has to be at least 1")
    for key, share in (("replay.keep_share", replay.keep_share), ("replay.min_share", replay.min_share)):
        need(0.001 <= share <= 1, key, "has to be between 0.001 and 1")
    need(0 <= replay.features_share <= 1, "replay.features_share", "has to be between 0 and 1")
    check_segments(settings.segment, settings.source)
    need(0 <= settings.metrics.port <= MAX_PORT, "metrics.port", f"has to be between 0 (off) and {MAX_PORT}")
    check_notify(settings.notify, settings.source)
    check_backtest(settings.backtest, settings.source)
    check_promotion(settings.promotion, settings.source)
    need(replay.shed_when_behind_seconds >= 0, "replay.shed_when_behind_seconds", "has to be at least 0 (0: never)")
