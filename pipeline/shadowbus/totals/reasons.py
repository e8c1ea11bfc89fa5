"""Why records could not be used to compare: the commonest texts with their counts, few of them, whatever models say.

Texts that differ only in quoted parts and in words with a digit (numbers, ids, times) share one form. Each form keeps
its count and, for every such place, its text if that was always the same.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Self

from shadowbus.statistics.contingency_table import OTHER

FAILED, LIVE, UNLIKE, UNJUDGED = "failed", "live", "unlike", "unjudged"
ABOUT = (FAILED, LIVE, UNLIKE, UNJUDGED)
"""What is asked why: the shadow failed; the live model did; two answers cannot be compared; a label judges neither."""

MOST = 8
"""How many forms of each kind one source partition keeps apart: the first ones; all others are `(other)`."""

LONGEST = 200
PLACE = "…"
_PLACES = re.compile(rf"'[^']*'|\"[^\"]*\"|`[^`]*`|[\w.+-]*\d[\w.,:+-]*|{PLACE}")

Parts = tuple[str | None, ...]


def form(text: str) -> tuple[str, Parts]:
    """What texts of one kind have in common, and the parts in which they may differ.

    >>> form("ValueError: could not convert string to float: 'basic'")
    ('ValueError: could not convert string to float: …', ("'basic'",))
    """
    short = " ".join(text[: 4 * LONGEST].split())[:LONGEST]
    return _PLACES.sub(PLACE, short), tuple(_PLACES.findall(short))


@dataclass(slots=True)
class Reasons:
    """Counts by what they are about and form; merges in any order and grouping.

    >>> some = Reasons()
    >>> for text in ("no column 'age' in row 7", "no column 'age' in row 8", "boom"):
    ...     some.add(FAILED, *form(text))
    >>> some.commonest(FAILED)
    [("no column 'age' in row …", 2), ('boom', 1)]
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    parts: dict[tuple[str, str], Parts] = field(default_factory=dict)

    def add(self, about: str, shape: str, parts: Parts = (), count: int = 1) -> None:
        """Count a form once more, or once less."""
        cell = about, shape
        before = self.parts.get(cell, parts)
        self.counts[cell] = self.counts.get(cell, 0) + count
        self.parts[cell] = tuple(one if one == other else None for one, other in zip(before, parts, strict=True))

    def absorb(self, other: "Reasons") -> None:
        """Add others to these; the others stay as they are."""
        for (about, shape), count in other.counts.items():
            self.add(about, shape, other.parts[about, shape], count)

    def commonest(self, about: str) -> list[tuple[str, int]]:
        """Texts about something and how often they came, the commonest first, `(other)` last."""
        found = [(cell, count) for cell, count in self.counts.items() if cell[0] == about and count > 0]
        found.sort(key=lambda one: (one[0][1] == OTHER, -one[1], one[0]))
        return [(_filled(cell[1], self.parts[cell]), count) for cell, count in found]

    def __bool__(self) -> bool:
        return bool(self.counts)

    def to_record(self) -> list[list[Any]]:
        """One list for each form: what it is about, the form, the count, and the parts in its places."""
        return [[*cell, self.counts[cell], list(self.parts[cell])] for cell in sorted(self.counts)]

    @classmethod
    def from_record(cls, rows: list[list[Any]]) -> Self:
        """Read them back.

        Raises:
            IndexError, TypeError, ValueError: They are no reasons.
        """
        found = cls()
        for about, shape, count, parts in rows:
            places = tuple(None if one is None else str(one) for one in parts)
            if len(places) != str(shape).count(PLACE):
                raise ValueError(f"a form with {len(places)} parts in other places")
            found.add(str(about), str(shape), places, int(count))
        return found


def _filled(shape: str, parts: Parts) -> str:
    pieces = shape.split(PLACE)
    filled = [PLACE if part is None else part for part in parts]
    return "".join(piece + more for piece, more in zip(pieces, [*filled, *[""] * len(pieces)], strict=False))
