"""The account books as an equation: what was read is what became of it, or it is not."""

from dataclasses import dataclass

from shadowbus.story.fields import Table, count, section, words
from shadowbus.story.figures import counted

BECAME = {
    "compared": "compared",
    "live_missing": "without a live answer",
    "request_missing": "without a request",
    "live_error": "live model failed",
    "shadow_error": "shadow failed",
    "shadow_timeout": "shadow too slow",
    "shadow_crash": "shadow crashed",
    "shadow_unavailable": "shadow unavailable",
}
ENOUGH = 30
"""Of so many labels and requests some would have met."""

ENTRIES = {
    "sampled_out": "left out by sampling",
    "duplicates": "duplicates",
    "dead_lettered": "dead letters",
    "waiting": "still waiting",
}


@dataclass(frozen=True, slots=True)
class Equation:
    """One side of the books: `read` is the sum of `terms`, or `gap` records are unaccounted for."""

    title: str
    read: int
    terms: tuple[tuple[str, int], ...]
    gap: int

    @property
    def text(self) -> str:
        """The equation in one line.

        >>> Equation("requests read", 10, (("compared", 9), ("still waiting", 1)), 0).text
        '10 requests read = 9 compared + 1 still waiting'
        """
        right = " + ".join(f"{amount:,} {name}" for name, amount in self.terms) or "0"
        missing = f" + {self.gap:,} unaccounted for" if self.gap else ""
        return f"{self.read:,} {self.title} = {right}{missing}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of a trial; `closes` is None before replay has said anything.

    `unmet` says that labels came and none met a request; empty where some did.
    """

    closes: bool | None
    gap: int
    text: str
    equations: tuple[Equation, ...]
    counted: int
    claimed: int
    share: float
    settled: bool
    unmet: str = ""

    @property
    def reported(self) -> bool:
        """Whether replay has said anything yet."""
        return any(one.read for one in self.equations)


def ledger(books: Table) -> Ledger:
    """The books of an aggregate, or of a verdict."""
    equations = tuple(_equation(side, section(books, side)) for side in ("requests", "predictions"))
    gap, closes = count(books, "gap"), books.get("closes")
    closed = closes if isinstance(closes, bool) else None
    if closed is None or not any(one.read for one in equations):
        text = "Replay has not reported its books yet."
    elif closed:
        text = "The books close: every record that was read is accounted for."
    else:
        text = f"The books do not close: {counted(gap, 'record')} unaccounted for. {words(books, 'note')}".strip()
    share = books.get("share")
    return Ledger(
        closed,
        gap,
        text,
        equations,
        count(books, "counted"),
        count(books, "claimed"),
        float(share) if isinstance(share, int | float) else 1.0,
        books.get("settled") is True,
        unmet_labels(section(books, "labels")),
    )


def unmet_labels(page: Table) -> str:
    """That labels meet no request; empty where some do, or where it is too early to tell.

    >>> unmet_labels({"kept": 500, "waiting": 1_500})
    'None of 500 labels has met a request, and 1,500 compared requests wait for theirs: do both carry the same ids?'
    """
    kept, waiting = count(page, "kept"), count(page, "waiting")
    if min(kept, waiting) < ENOUGH:
        return ""
    return (
        f"None of {counted(kept, 'label')} has met a request, and {counted(waiting, 'compared request')} wait for "
        "theirs: do both carry the same ids?"
    )


def _equation(side: str, page: Table) -> Equation:
    became = section(page, "compared")
    terms = [(name, count(became, status)) for status, name in BECAME.items()]
    terms += [(name, count(page, entry)) for entry, name in ENTRIES.items()]
    shown = tuple((name, amount) for name, amount in terms if amount)
    return Equation(f"{side} read", count(page, "read"), shown, count(page, "gap"))
