"""Comparisons, and outcomes where there are labels, as rows to search in.

In: the bytes of comparisons and outcomes, of many trials, in the order of each topic. Out: the rows of one trial. The
`value` of a row is 1 where the shadow disagrees and 0 where it agrees; or, with outcomes, 1 where only the live model
was right, -1 where only the shadow was, else 0. What cannot be read or compared is left out, and so is what the
shadow's model was trained on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from shadowbus.records.comparison import ComparisonToSearch
from shadowbus.records.outcome import OutcomeToSearch
from shadowbus.trials import newest_trial, readable

Target = Literal["disagreement", "harm"]


@dataclass(frozen=True, slots=True)
class Row:
    """One request: what is known of it, what counts against the shadow, and whether it is of the half that tests."""

    features: Mapping[str, object]
    value: float
    weight: float
    tests: bool


@dataclass(slots=True)
class Rows:
    """The rows of a trial; `trial` is empty where there is none of this shadow.

    `with_features` says whether they hold features or only segments; `unmet` counts outcomes whose comparison is not
    among those that were read.
    """

    trial: str = ""
    rows: list[Row] = field(default_factory=list)
    with_features: bool = False
    unmet: int = 0


def rows_of(
    comparisons: Iterable[bytes], outcomes: Iterable[bytes], shadow: str, by: Target, trial: str | None = None
) -> Rows:
    """The rows of one trial of a shadow.

    Args:
        comparisons: Comparisons as JSON.
        outcomes: Outcomes as JSON; not looked at for disagreement.
        shadow: The shadow's name in the settings.
        by: What counts against the shadow.
        trial: Which of its trials; else the one with the newest comparison.
    """
    name, of_trial = newest_trial(readable(ComparisonToSearch, comparisons), shadow, trial)
    rows = Rows(name)
    rows.with_features = any(one.features is not None for one in of_trial.values())
    usable = {
        key: one
        for key, one in of_trial.items()
        if not one.trained_on and (one.features is not None or not rows.with_features)
    }
    if by == "disagreement":
        rows.rows = [_row(one, float(not one.agree), one.weight) for one in usable.values() if one.agree is not None]
        return rows
    for key, outcome in _standing(outcomes, rows.trial).items():
        if key not in of_trial:
            rows.unmet += 1
        elif key in usable and outcome.live_correct is not None and outcome.shadow_correct is not None:
            rows.rows.append(_row(usable[key], float(outcome.live_correct - outcome.shadow_correct), outcome.weight))
    return rows


def _standing(outcomes: Iterable[bytes], trial: str) -> dict[str, OutcomeToSearch]:
    """The outcomes of a trial that were not retracted, by request id."""
    found: dict[str, OutcomeToSearch] = {}
    for one in readable(OutcomeToSearch, outcomes):
        if one.trial == trial and one.retracts:
            found.pop(one.request_id, None)
        elif one.trial == trial:
            found[one.request_id] = one
    return found


def _row(one: ComparisonToSearch, value: float, weight: float) -> Row:
    features = one.features if one.features is not None else {}
    if isinstance(features, list):
        features = {f"feature {place}": each for place, each in enumerate(features)}
    half = blake2b(one.request_id.encode(), digest_size=1, person=b"slices").digest()[0] % 2
    return Row({**one.segments, **features}, value, weight if weight > 0 else 0.0, bool(half))
