"""What a metric is: one field of a summary, and how Prometheus has it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shadowbus.summary.view import TotalsView

Where = Literal["windows", "segments", "trial"]
"""Where a metric is shown: everywhere; but not in windows; in the summary of the whole trial only."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How Prometheus has a metric, or a part of it.

    Attributes:
        name: Its name there.
        says: A sentence.
        path: Which field of the metric it is; empty where the metric is one number.
        labels: Names of labels beside trial and segment, with their values for this field.
        divisor: What the number is divided by, to be in Prometheus' base units.
    """

    name: str
    says: str
    path: str = "value"
    labels: Mapping[str, str] = field(default_factory=dict)
    divisor: float = 1.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One field of a summary.

    Attributes:
        name: Its name in the summary.
        says: A sentence, in Markdown.
        read: Works it out.
        unit: Its unit; empty where it has none, or its parts have their own.
        fields: The names of its parts; empty where it is one number, or docs/metrics.md explains its parts.
        where: Where it is shown.
        needs: What has to come for it beside comparisons; empty: nothing.
        gauges: How Prometheus has it.
    """

    name: str
    says: str
    read: Callable[[TotalsView], Any]
    unit: str = ""
    fields: str = ""
    where: Where = "windows"
    needs: str = ""
    gauges: tuple[Gauge, ...] = ()
