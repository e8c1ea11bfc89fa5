"""What a decision rests on: cumulative counts of one trial, in all and by segment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowbus.cutoff import Cutoff


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been counted of one trial, in all or in one segment.

    `comparisons` and `labels` are plain counts. The others are in proportion to the requests they stand for, and never
    more than was counted, so that sampled requests give unbiased rates and no more evidence than there is.

    `before_it_ran` of the comparisons are from before the shadow began to run: `asked` and `shadow_errors` lack them.

    A count of requests times `label_unit` is in the unit of labels. Those that end in `_apart` are labels of
    disagreements, in a unit of their own: only the shadow was right, only the live model was, and all of them.

    `slowdown` is the logarithm of how many times as long the shadow took for a row as the control.

    Those that end in `_before` are from before the shadow's training ended: of the `comparisons` so many were compared
    and are not in `compared`, and so many labels are not in `labels`.
    """

    comparisons: int = 0
    before_it_ran: int = 0
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
    slowdown_n: float = 0
    slowdown_mean: float = 0.0
    slowdown_m2: float = 0.0
    value_n: float = 0
    value_mean: float = 0.0
    value_m2: float = 0.0
    labelled_agreed: float = 0
    labelled_disagreed: float = 0
    label_unit: float = 1.0
    ours_apart: float = 0
    theirs_apart: float = 0
    labelled_apart: float = 0
    requests_before: int = 0
    labels_before: int = 0

    @property
    def ran(self) -> int:
        """Requests since it began to run."""
        return self.comparisons - self.before_it_ran

    @property
    def chosen(self) -> bool:
        """Whether somebody chose what to label, so that labels stand for several requests each."""
        return self.label_unit < 1.0

    @property
    def labelled(self) -> float:
        """Labels of which it is known whether both answers agree."""
        return self.labelled_agreed + self.labelled_disagreed

    @property
    def paired(self) -> float:
        """Labels of which it is known who was right."""
        return self.both_right + self.shadow_only + self.live_only + self.both_wrong


@dataclass(frozen=True, slots=True)
class Covered:
    """How many requests of one kind have their label, of how many that both models answered."""

    labelled: float
    compared: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores between `low` and `high`: how many, their sum, and how many of them came true."""

    low: float
    high: float
    n: float
    score: float
    came: float


@dataclass(frozen=True, slots=True)
class Floor:
    """Of the control, which is the live model itself: answers that were compared, and those that differ anyway."""

    compared: float = 0
    differ: float = 0


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """The classes named by each side, and out of how many compared and labelled requests. Empty: not counted."""

    live: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    compared: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of the trial's records, plainly counted.

    Attributes:
        answered: By both models, and not from before the shadow's training ended.
        comparable: Of these, where something can be said of both answers.
        others: By status those that were not answered by both.
        ran: Answers of the shadow in partitions in which it is not stalled, since it began to run there.
        unsettled_failed: Failures where it is not known yet whether it has begun to run.
        stalled: Rows in partitions in which it has not begun to run, and `stalled_failed` of them failed.
        left_out: Rows from before it began to run, in partitions in which it has since.
        reasons: The commonest texts by what they are about (`totals/reasons.py`), with how often each came.
    """

    answered: int = 0
    comparable: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    ran: int = 0
    unsettled_failed: int = 0
    stalled: int = 0
    stalled_failed: int = 0
    left_out: int = 0
    reasons: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Learned:
    """Labels of requests from before and after the bundle was made that say who was right, and how often it was whom.

    `counted` of those before are evidence, since they are from after the training as far as is known.
    """

    before: int = 0
    right_before: int = 0
    live_before: int = 0
    after: int = 0
    right_after: int = 0
    live_after: int = 0
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All a decision rests on.

    Attributes:
        trial: Its name.
        counts: Of the whole trial.
        segments: By names like `country=DE`.
        books_gap: 0 when the books close.
        books_note: Else what is wrong.
        first_ms: When traffic began that is evidence, None while there was none, and `last_ms` when it ended.
        idle_days: Whole days in between that had none.
        exact: Whether two answers that agree are always right or wrong together, as names of classes are.
        by_live: Compared requests and those with a label, by what the live model answered; empty where not counted.
        scores: The shadow's scores where labels came, in bins; empty where it has none.
        slowdown_reach: The most that the logarithm of a slowdown is counted as.
        value_reach: By the cost matrix, the most that one decision can be worth more than another.
        floor: What the control shows; None where no control runs, and of the control itself.
        cpu_ms_per_row: Measured; None where not known.
        memory_mb: Measured, of the largest model process; None where not known.
        measured_rows: Of so many rows the processor time, and the memory of so many `measured_processes`.
        vocabularies: The classes that each side named; empty where answers are no classes.
        rows: What became of the records.
        learned: How often who was right before and after the bundle was made.
        cutoff: Until when the shadow's model was trained; None where not known, and of the control.
        labels_depend: Whether labels were shown to come for some requests rather than for others; the gate sets it.
        control: Whether the shadow is the live model itself, which nobody promotes.
    """

    trial: str
    counts: Counts
    segments: Mapping[str, Counts]
    books_gap: int = 0
    books_note: str = ""
    first_ms: int | None = None
    last_ms: int | None = None
    idle_days: int = 0
    exact: bool = False
    by_live: Mapping[str, Covered] = field(default_factory=dict)
    scores: tuple[Bin, ...] = ()
    value_reach: float = 0.0
    slowdown_reach: float = 1.0
    floor: Floor | None = None
    cpu_ms_per_row: float | None = None
    memory_mb: float | None = None
    measured_rows: int = 0
    measured_processes: int = 0
    vocabularies: Vocabularies = Vocabularies()
    rows: Rows = Rows()
    learned: Learned = Learned()
    cutoff: Cutoff | None = None
    labels_depend: bool = False
    control: bool = False
