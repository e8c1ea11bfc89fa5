"""The heavy part of totals: tables, distributions and what rests on scores. Windows do without it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from shadowbus.statistics.calibration_histogram import CalibrationHistogram
from shadowbus.statistics.contingency_table import ContingencyTable
from shadowbus.statistics.moments import CorrectedMoments
from shadowbus.statistics.quantiles import Quantiles
from shadowbus.totals.reasons import Reasons

AXES = {"confusion": 2, "live_truth": 2, "shadow_truth": 2, "flips": 3, "lacking": 1}
_SKETCHES = ("live_answers", "shadow_answers", "latency_gaps")
_MOMENTS = ("live_loss", "shadow_loss", "live_value", "live_log_loss", "log_loss", "live_brier", "brier")
_SCORES = ("live_scores", "shadow_scores")
_REASONS = ("reasons",)


@dataclass(slots=True)
class DetailedTotals:
    """Everything merges by `absorb`; an empty part takes no bytes.

    Attributes:
        confusion: Live answer by shadow answer, of compared requests; classes only, as the next three.
        live_truth: Label by live answer.
        shadow_truth: Label by shadow answer.
        flips: Label by live answer by shadow answer, where the decisions cost differently.
        lacking: Missing features by name.
        live_answers: Answers that are numbers.
        shadow_answers: The shadow's answers that are numbers.
        latency_gaps: Shadow latency minus live latency of the same request, in ms.
        live_loss: The live loss, where both sides have one.
        shadow_loss: The shadow's loss of the same answers.
        live_value: What the live decision is worth by the cost matrix.
        live_log_loss: Where both sides gave the label a probability, the live log loss.
        log_loss: By how much the shadow's log loss is larger.
        live_brier: The live Brier score of the same.
        brier: By how much the shadow's Brier score is larger.
        live_scores: How the live scores of the same came true.
        shadow_scores: How the shadow's scores of the same came true.
        reasons: Why rows could not be compared or judged; of the whole trial only.
    """

    confusion: ContingencyTable = field(default_factory=ContingencyTable)
    live_truth: ContingencyTable = field(default_factory=ContingencyTable)
    shadow_truth: ContingencyTable = field(default_factory=ContingencyTable)
    flips: ContingencyTable = field(default_factory=ContingencyTable)
    lacking: ContingencyTable = field(default_factory=ContingencyTable)
    live_answers: Quantiles = field(default_factory=Quantiles)
    shadow_answers: Quantiles = field(default_factory=Quantiles)
    latency_gaps: Quantiles = field(default_factory=Quantiles)
    live_loss: CorrectedMoments = field(default_factory=CorrectedMoments)
    shadow_loss: CorrectedMoments = field(default_factory=CorrectedMoments)
    live_value: CorrectedMoments = field(default_factory=CorrectedMoments)
    live_log_loss: CorrectedMoments = field(default_factory=CorrectedMoments)
    log_loss: CorrectedMoments = field(default_factory=CorrectedMoments)
    live_brier: CorrectedMoments = field(default_factory=CorrectedMoments)
    brier: CorrectedMoments = field(default_factory=CorrectedMoments)
    live_scores: CalibrationHistogram = field(default_factory=CalibrationHistogram)
    shadow_scores: CalibrationHistogram = field(default_factory=CalibrationHistogram)
    reasons: Reasons = field(default_factory=Reasons)

    def absorb(self, other: "DetailedTotals") -> None:
        """Add others to these; the others stay as they are."""
        for name in PARTS:
            if more := getattr(other, name):
                getattr(self, name).absorb(more)

    def settle(self, parts: "Sequence[DetailedTotals]") -> None:
        """Let the sketches be the union of those of the parts, which is the same whenever it is worked out."""
        for name in _SKETCHES:
            setattr(self, name, Quantiles.union(getattr(part, name) for part in parts))

    def to_record(self) -> dict[str, Any]:
        """As they stand in partials and aggregates; what is empty is left out."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: part.to_record() for name, part in parts.items() if part}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back; what is not there is empty.

        Raises:
            KeyError, TypeError, ValueError, IndexError: They are not details.
        """
        found: dict[str, Any] = {}
        for name, axes in AXES.items():
            if name in record:
                found[name] = ContingencyTable.from_record(record[name], axes)
        for names, kind in (
            (_SKETCHES, Quantiles),
            (_MOMENTS, CorrectedMoments),
            (_SCORES, CalibrationHistogram),
            (_REASONS, Reasons),
        ):
            found.update({name: kind.from_record(record[name]) for name in names if name in record})
        return cls(**found)


PARTS = (*AXES, *_SKETCHES, *_MOMENTS, *_SCORES, *_REASONS)
