"""The segments of a trial, those that the shadow harms most first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shadowbus.records import Aggregate
from shadowbus.story.criteria import Criterion
from shadowbus.story.deviation import deviation, difference_text
from shadowbus.story.fields import Table, count, number, section
from shadowbus.story.figures import between, points, share


@dataclass(frozen=True, slots=True)
class Segment:
    """One slice of the requests.

    Attributes:
        name: As in `country=DE`.
        requests: How many.
        labels: How many of them have a label.
        measure: What is told of it: `accuracy`, or `mean absolute error` where answers are numbers.
        difference: That, shadow minus live; None without labels.
        low: The lowest difference that is still possible.
        high: The highest.
        difference_text: The same in words.
        worse: Whether the shadow is worse here, as far as is seen; None without labels.
        agreement: The share of same answers.
        agreement_text: The same in words.
        errors: The share of requests that the shadow failed on.
        errors_text: The same in words.
        state: Of the criterion that guards this segment; empty where none does.
    """

    name: str
    requests: int
    labels: int
    measure: str
    difference: float | None
    low: float | None
    high: float | None
    difference_text: str
    worse: bool | None
    agreement: float | None
    agreement_text: str
    errors: float | None
    errors_text: str
    state: str


def segments(aggregates: Iterable[Aggregate], criteria: Iterable[Criterion]) -> tuple[Segment, ...]:
    """The segments by harm: shown worse first, then by what is lost, then by failures, then by answers that differ.

    Args:
        aggregates: Those of one trial; windows and the whole are left out.
        criteria: Of its verdict.
    """
    guards = {one.guards: one.state for one in criteria if one.guards}
    found = [
        _segment(one.segment, one.summary, guards.get(one.segment, ""))
        for one in aggregates
        if one.window == "all" and one.segment != "all"
    ]
    return tuple(sorted(found, key=_harm))


def _segment(name: str, summary: Table, state: str) -> Segment:
    agreement = section(summary, "agreement")
    errors = number(section(summary, "errors"), "value")
    return Segment(
        name=name,
        requests=count(summary, "requests"),
        labels=count(summary, "labels"),
        **_compared(summary),
        agreement=number(agreement, "value"),
        agreement_text=share(number(agreement, "value")),
        errors=errors,
        errors_text=share(errors),
        state=state,
    )


def _compared(summary: Table) -> dict[str, Any]:
    """What both are measured by, shadow minus live."""
    if (found := deviation(summary)) is not None:
        return {
            "measure": "mean absolute error",
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "difference_text": difference_text(found),
            "worse": found.difference > 0,
        }
    accuracy = section(summary, "accuracy")
    difference, low, high = (number(accuracy, key) for key in ("difference", "low", "high"))
    interval = between(low, high, "points")
    return {
        "measure": "accuracy",
        "difference": difference,
        "low": low,
        "high": high,
        "difference_text": points(difference) + (f" ({interval})" if interval else ""),
        "worse": None if difference is None else difference < 0,
    }


def _harm(one: Segment) -> tuple[bool, float, float, float, str]:
    lost = abs(one.difference or 0.0)
    return (
        one.state != "fails",
        -lost if one.worse else lost,
        -(one.errors or 0.0),
        one.agreement if one.agreement is not None else 1.0,
        one.name,
    )
