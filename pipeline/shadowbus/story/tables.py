"""Where the two models differ: who answered what, who was right, and how often each answer comes."""

from dataclasses import dataclass
from itertools import pairwise

from shadowbus.story.fields import Table, count, number, section, sequence, words
from shadowbus.story.figures import MISSING, counted, plain, share


@dataclass(frozen=True, slots=True)
class Confusion:
    """Live answer by shadow answer: `counts[i][j]` is how often live said `classes[i]` and the shadow `classes[j]`."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    requests: int
    differing: int


@dataclass(frozen=True, slots=True)
class WhoWasRight:
    """The labels, by who was right about them; `text` says what it comes to."""

    both: int
    shadow_only: int
    live_only: int
    neither: int
    text: str

    @property
    def labels(self) -> int:
        """All of them."""
        return self.both + self.shadow_only + self.live_only + self.neither


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each answer comes, on both sides.

    `names` are classes, or ranges of numbers; `shift` is the population stability index, and `text` what that means.
    """

    names: tuple[str, ...]
    live: tuple[float, ...]
    shadow: tuple[float, ...]
    shift: float | None
    text: str


def confusion(summary: Table) -> Confusion | None:
    """The table of both answers; None where there is none, such as for numbers."""
    table = section(summary, "confusion")
    classes = tuple(str(name) for name in sequence(table, "classes"))
    rows = tuple(tuple(int(cell) for cell in row) for row in sequence(table, "counts") if isinstance(row, list))
    if not classes or len(rows) != len(classes) or any(len(row) != len(classes) for row in rows):
        return None
    total = sum(map(sum, rows))
    return Confusion(classes, rows, total, total - sum(rows[i][i] for i in range(len(classes))))


def who_was_right(summary: Table) -> WhoWasRight:
    """The labels by who was right."""
    right = section(summary, "right")
    ours, theirs = count(right, "shadow_only"), count(right, "live_only")
    if ours + theirs:
        text = f"Of {counted(ours + theirs, 'label')} where one of them was wrong, the shadow was right on {ours:,}."
    else:
        text = "No label yet on which only one of them was right."
    return WhoWasRight(count(right, "both_right"), ours, theirs, count(right, "both_wrong"), text)


def distribution(summary: Table) -> Distribution | None:
    """How often each answer comes; None where answers are neither classes nor numbers."""
    table = section(summary, "predictions")
    live, shadow = _shares(table, "live"), _shares(table, "shadow")
    names = tuple(str(name) for name in sequence(table, "classes")) or _ranges(sequence(table, "edges"))
    if not live or len(live) != len(shadow) or len(names) != len(live):
        return None
    shift = number(table, "psi")
    return Distribution(names, live, shadow, shift, _shift_text(shift))


def quantiles(summary: Table) -> tuple[Table, Table]:
    """The latency quantiles of live and shadow, in ms."""
    return section(summary, "live_latency_ms"), section(summary, "shadow_latency_ms")


_UNLIKE = {
    "exchange": "Live times are of whole HTTP exchanges",
    "call": "Live times are of calls in the service",
    "": "What live times are of is not known",
}


def unlike(live: Table) -> str:
    """A warning where live times are not of the same thing as the shadow's; empty where they are, or there are none.

    >>> unlike({"n": 3, "timed": "exchange"})
    "Live times are of whole HTTP exchanges, the shadow's of its model alone: they are not to be compared."
    >>> unlike({"n": 3, "timed": "model"}), unlike({"n": 0})
    ('', '')
    """
    told = _UNLIKE.get(words(live, "timed"))
    if told is None or not number(live, "n"):
        return ""
    return f"{told}, the shadow's of its model alone: they are not to be compared."


def _shares(table: Table, side: str) -> tuple[float, ...]:
    return tuple(float(value) for value in sequence(table, side) if isinstance(value, int | float))


def _ranges(edges: list[object]) -> tuple[str, ...]:
    written = [plain(edge) for edge in edges if isinstance(edge, int | float)]
    if not written:
        return ()
    inner = [f"{low} to {high}" for low, high in pairwise(written)]
    return (f"under {written[0]}", *inner, f"{written[-1]} or more")


def _shift_text(shift: float | None) -> str:
    if shift is None:
        return ""
    size = "stable" if shift < 0.1 else "a shift" if shift <= 0.25 else "a large shift"
    return f"population stability index {shift:.3f}: {size}"


def rate_text(rate: Table) -> str:
    """A rate of a summary with what is still possible.

    >>> rate_text({"value": 0.9, "low": 0.87, "high": 0.93, "n": 1200})
    '90.0 % (between 87.0 % and 93.0 %, of 1,200)'
    """
    value, low, high = (number(rate, name) for name in ("value", "low", "high"))
    if value is None:
        return MISSING
    ends = f"between {share(low)} and {share(high)}, " if low is not None and high is not None else ""
    return f"{share(value)} ({ends}of {count(rate, 'n'):,})"


def kind_of(summary: Table) -> str:
    """What kind of answers: `classes`, `numbers`, or neither."""
    return words(section(summary, "predictions"), "kind")
