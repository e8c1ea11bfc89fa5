"""All of one `shadow.toml`. Paths are relative to the settings file."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from shadowbus.cutoff import Cutoff, moment
from shadowbus.errors import SettingsError
from shadowbus.settings.backtest import BacktestSettings
from shadowbus.settings.promotion import PromotionSettings
from shadowbus.settings.segment import SegmentSettings
from shadowbus.settings.tables import (
    AggregateSettings,
    CostSettings,
    GateSettings,
    JudgeSettings,
    MetricsSettings,
    RekeySettings,
    ReplaySettings,
    ShadowSettings,
    WorkerSettings,
)
from shadowbus.settings.webhook import NotifySettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in one `shadow.toml`."""

    namespace: str
    partitions: int = 4
    replication: int = -1
    live_trained_until: str = ""
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

    @property
    def live_cutoff(self) -> Cutoff | None:
        """Until when the live model was trained, where the settings say so.

        Raises:
            SettingsError: What they say is no time.
        """
        return Cutoff(moment(self.live_trained_until), "live") if self.live_trained_until else None

    def shadow_named(self, name: str) -> ShadowSettings:
        """The shadow of that name.

        Raises:
            SettingsError: There is none; the message lists those there are.
        """
        for shadow in self.shadow:
            if shadow.name == name:
                return shadow
        names = [shadow.name for shadow in self.shadow]
        close = get_close_matches(name, names, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise SettingsError(f"{self.source} has no shadow named {name!r}; it has {', '.join(names) or 'none'}.{hint}")

    def without_shadow(self, name: str) -> bool:
        """Whether others are configured and that one is not any more: its trials are history."""
        return bool(self.shadow) and all(shadow.name != name for shadow in self.shadow)

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
