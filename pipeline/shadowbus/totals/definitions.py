"""How records are counted: the kind of a shadow's answers, the latency budget, what decisions cost, the limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from shadowbus.compare.class_name import class_name, classes_of
from shadowbus.settings import Settings
from shadowbus.totals.windows import Windows
from shadowbus.trials import shadow_of

MOST_CLASSES = 20
"""How many classes of a trial one source partition counts apart."""

MOST_FEATURES = 100
"""How many missing features."""

MOST_SEGMENTS = 200
"""How many segments, such as `country=DE`."""

MOST_SEGMENT_NAMES = 50
"""And how many names of segments, such as `country`."""

LARGEST_RATIO = 16.0
"""Where the shadow takes more than 16 times as long as the control, or less than a 16th, it counts as that."""

LARGEST_SLOWDOWN = math.log(LARGEST_RATIO)

KINDS = {"classification": "classes", "regression": "numbers"}
"""By task; answers of any other task are neither."""


@dataclass(frozen=True, slots=True)
class MetricDefinitions:
    """How records are counted. Definitions may change between two starts; what was counted before stays.

    Attributes:
        window_ms: The length of a window in the long run, by the records' `timestamp_ms`; see `Windows`.
        budget_ms: Shadow latencies above it are over budget; None when the gate has none.
        tasks: The kind of answers by shadow.
        costs: By label and answer, both as `class_name` writes them; empty without a cost matrix.
        controls: The shadows that are the champion itself.
    """

    window_ms: int
    budget_ms: float | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    controls: frozenset[str] = frozenset()
    same: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The definitions that the settings make."""
        tasks = {shadow.name: shadow.task for shadow in settings.shadow}
        costs = {(class_name(cost.label) or "", class_name(cost.prediction) or ""): cost.cost for cost in settings.cost}
        controls = frozenset(shadow.name for shadow in settings.shadow if shadow.control)
        same = {shadow.name: classes_of(shadow.options.get("same_class", {})) for shadow in settings.shadow}
        window_ms = settings.aggregate.window_seconds * 1000
        return cls(window_ms, settings.gate.latency_budget_ms, tasks, costs, controls, same)

    @property
    def windows(self) -> Windows:
        """How long windows are."""
        return Windows.of(self.window_ms)

    @property
    def reach(self) -> float:
        """The most that one decision can be worth more than another of the same label; what has no cost costs 0.

        >>> MetricDefinitions(1, costs={("fraud", "pass"): 50.0, ("honest", "stop"): 2.0}).reach
        50.0
        """
        by_label: dict[str, list[float]] = {}
        for (label, _), cost in self.costs.items():
            by_label.setdefault(label, [0.0]).append(cost)
        return max((max(costs) - min(costs) for costs in by_label.values()), default=0.0)

    def same_classes(self, trial: str) -> Mapping[str, str]:
        """Other names of classes, by name, from the settings of a trial's shadow."""
        return self.same.get(shadow_of(trial), {})

    def kind_of(self, trial: str) -> str:
        """`classes`, `numbers`, or neither: ``, which is also so of a shadow that was removed from the settings.

        Where no shadow is configured at all, answers are taken to name classes.

        >>> MetricDefinitions(1, tasks={"price": "regression"}).kind_of("live@1~price@2")
        'numbers'
        """
        shadow = shadow_of(trial)
        return KINDS.get(self.tasks.get(shadow, "" if self.tasks else "classification"), "")
