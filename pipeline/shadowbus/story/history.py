"""How a verdict came about: the verdicts of one trial as they were given, as many as fit on a line."""

from collections.abc import Iterable
from dataclasses import dataclass

from shadowbus.records import Verdict
from shadowbus.story.criteria import read
from shadowbus.story.headline import WORDS

MOST = 240
"""How many verdicts of one trial are kept; then every second one of the older half goes."""


UNDECIDED = "not decided"


@dataclass(frozen=True, slots=True)
class Point:
    """One criterion at one moment: what was seen, and what was still possible."""

    at_ms: int
    requests: int
    labels: int
    value: float | None
    low: float | None
    high: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """The verdict became this one."""

    at_ms: int
    verdict: str
    text: str
    requests: int
    labels: int


def remember(history: list[Verdict], verdict: Verdict) -> None:
    """Add a verdict to a history, and thin that out where it has grown too long; every change is kept."""
    if history and verdict.decided_ms < history[-1].decided_ms:
        history.clear()  # the topic is read once more from its beginning
    history.append(verdict)
    if len(history) > MOST:
        old, new = history[: MOST // 2], history[MOST // 2 :]
        history[:] = [one for number, one in enumerate(old) if number % 2 == 0 or _changes(old, number)] + new


def changes(history: Iterable[Verdict], *, numbers: bool = False) -> tuple[Change, ...]:
    """When the verdict became another one, the newest first. `numbers`: whether answers are numbers."""
    found: list[Change] = []
    for one in history:
        if not found or (found[-1].verdict, found[-1].text == UNDECIDED) != (one.verdict, bool(one.fault)):
            word = WORDS.get(one.verdict, one.verdict)
            criteria = read(*one.criteria, numbers=numbers)
            failed = [criterion.title for criterion in criteria if criterion.state == "fails"]
            text = f"{word} for: {failed[0]}" if failed else word
            text = UNDECIDED if one.fault else text
            found.append(Change(one.decided_ms, one.verdict, text, one.requests, one.labels))
    return tuple(reversed(found))


def narrowing(history: Iterable[Verdict], name: str) -> tuple[Point, ...]:
    """One criterion over time."""
    points = []
    for one in history:
        for criterion in read(*one.criteria):
            if criterion.name == name:
                seen = criterion.value, criterion.low, criterion.high, criterion.limit
                points.append(Point(one.decided_ms, one.requests, one.labels, *seen))
    return tuple(points)


def _changes(history: list[Verdict], number: int) -> bool:
    return history[number].verdict != history[number - 1].verdict
