"""Comparisons that could be labelled.

In: the bytes of comparisons and labels, of many trials. Out: those of one trial that both models answered and nobody
has labelled. What cannot be read is left out, and so is what the shadow's model was trained on: its label would not
count.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from shadowbus.records.comparison import ComparisonToLabel
from shadowbus.trials import newest_trial, readable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A comparison that has no label: `live` and `shadow` are the two predictions."""

    request_id: str
    timestamp_ms: int
    agree: bool
    live: Any
    shadow: Any
    segments: dict[str, Any]


@dataclass(slots=True)
class Candidates:
    """The candidates of a trial; `trial` is empty where there is none of this shadow.

    `labelled` counts comparisons that have a label, `queued` those of them that an earlier queue had chosen, and
    `queued_ms` is the time of the newest of these.
    """

    trial: str = ""
    found: list[Candidate] = field(default_factory=list)
    labelled: int = 0
    queued: int = 0
    queued_ms: int = 0
    newest_ms: int = 0


class _Label(Struct):
    request_id: str
    probability: float | None = None


def candidates_of(
    comparisons: Iterable[bytes], labels: Iterable[bytes], shadow: str, trial: str | None = None, since_ms: int = 0
) -> Candidates:
    """What could be labelled of one trial of a shadow.

    Args:
        comparisons: Comparisons as JSON.
        labels: Labels as JSON.
        shadow: The shadow's name in the settings.
        trial: Which of its trials; else the one with the newest comparison.
        since_ms: Only requests of that time or later.
    """
    name, of_trial = newest_trial(readable(ComparisonToLabel, comparisons), shadow, trial)
    result = Candidates(name, newest_ms=max((one.timestamp_ms for one in of_trial.values()), default=0))
    left: dict[str, Candidate] = {}
    for key, one in of_trial.items():
        both = one.status == "compared" and one.agree is not None and one.live is not None and one.shadow is not None
        if both and not one.trained_on and one.timestamp_ms >= since_ms:
            left[key] = _candidate(one)
    for label in readable(_Label, labels):
        known = left.pop(label.request_id, None)
        if known is not None:
            result.labelled += 1
            if label.probability is not None:
                result.queued += 1
                result.queued_ms = max(result.queued_ms, known.timestamp_ms)
    result.found = list(left.values())
    return result


def _candidate(one: ComparisonToLabel) -> Candidate:
    live, shadow = (None if side is None else side.prediction for side in (one.live, one.shadow))
    return Candidate(one.request_id, one.timestamp_ms, bool(one.agree), live, shadow, one.segments)
