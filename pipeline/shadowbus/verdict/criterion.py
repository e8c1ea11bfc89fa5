"""The shapes of a decision: its criteria, what is still missing, and the question behind each criterion."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from shadowbus.verdict import sequential

State = Literal["holds", "fails", "open"]
Verdict = Literal["PROMOTE", "SEND_BACK", "KEEP_WATCHING"]
Unit = Literal["requests", "labels"]
Reason = tuple[str, int]
"""A text, and how often it came."""
Scale = Literal["share", "points", "count", "ms", "number"]
Side = Literal["at most", "at least", "limit"]


@dataclass(frozen=True, slots=True)
class Wording:
    """How one criterion is spoken of, and what it rests on; empty where it is that count itself."""

    title: str
    unit: Scale
    side: Side
    of: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition: what was seen (None: nothing yet), what is still possible, the limit, and what that shows.

    `n` is how many observations it rests on, in proportion to what they stand for and never more than there are.
    """

    name: str
    value: float | None
    low: float
    high: float
    limit: float
    state: State
    note: str = ""
    n: int = 0


@dataclass(frozen=True, slots=True)
class Needed:
    """What is missing until the verdict in `note`, if all goes on as it is; None when that never decides.

    `at_ms` is when that will be at the present rates; None when never, when it cannot be told, and when nothing is
    missing.
    """

    requests: int | None
    labels: int | None
    note: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing in the way: of `of` records `count` are of no use, for these reasons; `told` is a sentence."""

    name: str
    count: int
    of: int
    reasons: tuple[Reason, ...]
    told: str

    @property
    def of_everything(self) -> bool:
        """Whether nothing at all can be decided meanwhile."""
        return self.name in ("cannot_run", "nothing_compared", "not_comparable")

    def to_record(self) -> dict[str, object]:
        """As it stands in a verdict."""
        reasons = [{"text": text, "count": count} for text, count in self.reasons]
        return {"name": self.name, "count": self.count, "of": self.of, "reasons": reasons, "told": self.told}


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and everything that explains it."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    requests: int
    labels: int
    needed: Needed
    obstacles: tuple[Obstacle, ...] = ()


class Alphas(NamedTuple):
    """The chance of being wrong that a criterion may take: in showing that it holds, in showing that it fails."""

    holds: float
    fails: float


@dataclass(frozen=True, slots=True)
class Question:
    """A criterion, and what it would take to answer it.

    `trials` were seen among so many requests or labels (`seen`); `shown(n)` says whether `n` trials in the same
    proportions would show what the criterion leans to. `waits`: PROMOTE waits for it to be answered. `lacks` says what
    is missing where nothing was seen though enough came.
    """

    criterion: Criterion
    unit: Unit
    trials: int
    seen: int
    leans: State
    shown: Callable[[float], bool]
    waits: bool = False
    lacks: str = "nothing has been seen of it"

    @property
    def answer(self) -> Criterion:
        """The criterion, with what it rests on."""
        return replace(self.criterion, n=self.trials)

    def missing(self) -> int | None:
        """How many more requests or labels it takes; None when it is too close to the limit to say."""
        trials = sequential.needed(self.trials, self.shown)
        if trials is None:
            return None
        return math.ceil(trials * self.seen / self.trials) if self.trials else trials


def unanswerable(question: Question, why: str) -> Question:
    """The same question, which the data can not answer: everything is still possible."""
    criterion = replace(question.criterion, low=-math.inf, high=math.inf, state="open", note=why)
    return replace(question, criterion=criterion, shown=lambda _: False)
