"""A slice of comparisons or outcomes folded into totals: by trial, by segment, by window and in all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from shadowbus.aggregate.columns import read
from shadowbus.aggregate.known import Known
from shadowbus.aggregate.numbers import Compared, Judged, compared, judged
from shadowbus.aggregate.parts import compared_part, judged_part, traffic
from shadowbus.aggregate.segments import ALL
from shadowbus.aggregate.terms import Terms
from shadowbus.aggregate.timings import Timed
from shadowbus.aggregate.totals import Totals
from shadowbus.stage import Slice

COUNTED = ("comparisons", "outcomes")
"""The topics whose records are folded."""


class Key(NamedTuple):
    """Of what totals are: `segment` is `all` or `name=value`, `window` is `all` or its start in milliseconds."""

    trial: str
    segment: str = ALL
    window: str = ALL

    def text(self) -> str:
        """The key of an aggregate."""
        return "|".join(self)


@dataclass(slots=True)
class Folded:
    """What a slice adds to the totals, the index of each trial's first record, and those that could not be used.

    `timed` are rows that were timed alone, where there is a control to hold them against; see `timings.py`.
    """

    totals: dict[Key, Totals] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)


def fold(piece: Slice, known: Callable[[str], Known], terms: Terms) -> Folded:
    """Fold one slice.

    Args:
        piece: Records of `comparisons` or `outcomes`.
        known: What is known of a trial, by its name; new segments, classes and features are added to it.
        terms: What is counted.
    """
    columns = read(piece, known, terms.windows)
    folded = Folded(rejected=columns.rejected)
    if not columns.rows:
        return folded
    if terms.controls:
        folded.timed = [Timed(*one) for one in columns.timed]
    arrays: Compared | Judged
    arrays = judged(columns) if piece.topic == "outcomes" else compared(columns)
    lacking = list(columns.lacking)
    for (trial, start), group in columns.groups.items():
        folded.firsts[trial] = min(group.first, folded.firsts.get(trial, group.first))
        for segment, members in ((ALL, group.rows), *group.segments.items()):
            rows = np.array(members)
            if isinstance(arrays, Judged):
                part = judged_part(arrays, rows, group.known)
            else:
                part = compared_part(arrays, rows, group.known, lacking)
            if segment == ALL:
                part.number = max(columns.numbers[row] for row in members)
                part.days = traffic(arrays, rows) if isinstance(arrays, Compared) else part.days
                group.known.troubles.onto(part)
            whole = Key(trial, segment)
            folded.totals[whole] = folded.totals[whole] + part if whole in folded.totals else part
            if segment == ALL or segment in group.known.segments.windowed:
                folded.totals[Key(trial, segment, str(start))] = part.light()
    return folded
