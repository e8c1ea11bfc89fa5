"""What a decision rests on: cumulative counts of one trial, in all and by segment."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been counted of one trial, in all or in one segment.

    `comparisons` and `labels` are plain counts. The others are in proportion to the requests they stand for, and never
    more than was counted, so that sampled requests give unbiased rates and no more evidence than there is.
    """

    comparisons: int = 0
    asked: float = 0
    shadow_errors: float = 0
    compared: float = 0
    agreed: float = 0
    latency_rows: float = 0
    over_budget: float = 0
    labels: int = 0
    both_right: float = 0
    shadow_only: float = 0
    live_only: float = 0
    both_wrong: float = 0
    loss_n: float = 0
    loss_mean: float = 0.0
    loss_m2: float = 0.0

    @property
    def paired(self) -> float:
        """Labels of which it is known who was right."""
        return self.both_right + self.shadow_only + self.live_only + self.both_wrong


@dataclass(frozen=True, slots=True)
class Evidence:
    """All a decision rests on. `books_gap` is 0 when the books close; `segments` are named like `country=DE`."""

    trial: str
    counts: Counts
    segments: Mapping[str, Counts]
    books_gap: int = 0
    books_note: str = ""
