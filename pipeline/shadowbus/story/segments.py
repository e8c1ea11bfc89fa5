"""The segments of a trial, those that the shadow harms most first."""

from collections.abc import Iterable
from dataclasses import dataclass

from shadowbus.records import Aggregate
from shadowbus.story.criteria import Criterion
from shadowbus.story.fields import Table, count, number, section
from shadowbus.story.figures import between, points, share


@dataclass(frozen=True, slots=True)
class Segment:
    """One slice of the requests.

    Attributes:
        name: As in `country=DE`.
        requests: How many.
        labels: How many of them have a label.
        accuracy: Shadow minus live; None without labels. `low` and `high`: what is still possible.
        low: The lowest accuracy difference that is still possible.
        high: The highest.
        accuracy_text: The same in words.
        agreement: The share of same answers.
        agreement_text: The same in words.
        errors: The share of requests that the shadow failed on.
        errors_text: The same in words.
        state: Of the criterion that guards this segment; empty where none does.
    """

    name: str
    requests: int
    labels: int
    accuracy: float | None
    low: float | None
    high: float | None
    accuracy_text: str
    agreement: float | None
    agreement_text: str
    errors: float | None
    errors_text: str
    state: str


def segments(aggregates: Iterable[Aggregate], criteria: Iterable[Criterion]) -> tuple[Segment, ...]:
    """The segments by harm: shown worse first, then by accuracy lost, then by failures, then by answers that differ.

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
    accuracy, agreement = section(summary, "accuracy"), section(summary, "agreement")
    difference, low, high = (number(accuracy, key) for key in ("difference", "low", "high"))
    interval = between(low, high, "points")
    errors = number(section(summary, "errors"), "value")
    return Segment(
        name=name,
        requests=count(summary, "requests"),
        labels=count(summary, "labels"),
        accuracy=difference,
        low=low,
        high=high,
        accuracy_text=points(difference) + (f" ({interval})" if interval else ""),
        agreement=number(agreement, "value"),
        agreement_text=share(number(agreement, "value")),
        errors=errors,
        errors_text=share(errors),
        state=state,
    )


def _harm(one: Segment) -> tuple[bool, float, float, float, str]:
    return (
        one.state != "fails",
        one.accuracy if one.accuracy is not None else 0.0,
        -(one.errors or 0.0),
        one.agreement if one.agreement is not None else 1.0,
        one.name,
    )
