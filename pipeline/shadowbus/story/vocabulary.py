"""Labels of classes that no model answers: often other names of the same ones, and then both count as wrong."""

from shadowbus.story.fields import Table, section, sequence
from shadowbus.story.figures import listed, share

ENOUGH, NOTABLE, SHOWN = 30, 0.05, 5
"""Fewer labels, or a smaller share, may be a rare class that no model has learned; so many are named."""


def only_in_labels(summary: Table) -> str:
    """What is said where many labels are classes that neither model ever answers; empty where that is not so.

    >>> only_in_labels({"truth": {"classes": ["No", "no"], "live": [[0, 40], [0, 60]], "shadow": [[0, 40], [0, 60]]}})
    "40.0 % of the labels are 'No', which neither model ever answers, so that both count as wrong. Where that is \
another name of a class, say so in [shadow.options] same_class."
    """
    table = section(summary, "truth")
    classes = [str(name) for name in sequence(table, "classes")]
    live, shadow = (_square(table, side, len(classes)) for side in ("live", "shadow"))
    if live is None or shadow is None:
        return ""
    answered = [any(row[at] for row in (*live, *shadow)) for at in range(len(classes))]
    labels = [sum(row) for row in live]
    strange = [at for at, seen in enumerate(answered) if labels[at] and not seen]
    amount, whole = sum(labels[at] for at in strange), sum(labels)
    if amount < ENOUGH or not NOTABLE * whole <= amount < whole:  # where it is all, the verdict itself says so
        return ""
    names = listed([repr(classes[at]) for at in strange][:SHOWN])
    return (
        f"{share(amount / whole)} of the labels are {names}, which neither model ever "
        "answers, so that both count as wrong. Where that is another name of a class, say so in [shadow.options] "
        "same_class."
    )


def _square(table: Table, side: str, size: int) -> list[list[float]] | None:
    rows = [row for row in sequence(table, side) if isinstance(row, list) and len(row) == size]
    numbers = all(isinstance(cell, int | float) for row in rows for cell in row)
    return rows if size and len(rows) == size and numbers else None
