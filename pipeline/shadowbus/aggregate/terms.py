"""What is counted of each trial: what kind of answers its shadow gives, the latency budget, what decisions cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from shadowbus.compare.class_name import class_name
from shadowbus.settings import Settings

KINDS = {"classification": "classes", "regression": "numbers"}
"""By task; answers of any other task are neither."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms records are counted; they may change between two starts, what was counted before stays.

    Attributes:
        window_ms: The length of a window; windows begin at its multiples, by the records' `timestamp_ms`.
        budget_ms: Shadow latencies above it are over budget; None when the gate has none.
        tasks: The kind of answers by shadow.
        costs: By label and answer, both as `class_name` writes them; empty without a cost matrix.
    """

    window_ms: int
    budget_ms: float | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings."""
        tasks = {shadow.name: shadow.task for shadow in settings.shadow}
        costs = {(class_name(cost.label) or "", class_name(cost.prediction) or ""): cost.cost for cost in settings.cost}
        return cls(settings.aggregate.window_seconds * 1000, settings.gate.latency_budget_ms, tasks, costs)

    def kind_of(self, trial: str) -> str:
        """`classes`, `numbers`, or neither: ``. A shadow that the settings do not know is taken to name classes.

        >>> Terms(1, tasks={"price": "regression"}).kind_of("live@1~price@2")
        'numbers'
        """
        shadow = trial.rpartition("~")[2].rpartition("@")[0]
        return KINDS.get(self.tasks.get(shadow, "classification"), "")
