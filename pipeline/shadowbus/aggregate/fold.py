"""A slice of comparisons or outcomes folded into totals: by trial, by segment, by window and in all."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shadowbus.aggregate.arrays import ComparisonArrays, OutcomeArrays, comparison_arrays, outcome_arrays
from shadowbus.aggregate.contribution import comparison_contribution, outcome_contribution, traffic
from shadowbus.aggregate.paired_timings import Timed
from shadowbus.aggregate.parse import read
from shadowbus.aggregate.vocabulary import Vocabulary
from shadowbus.stage import RecordBatch
from shadowbus.totals.definitions import MetricDefinitions
from shadowbus.totals.key import ALL, Key
from shadowbus.totals.totals import Totals


@dataclass(slots=True)
class Folded:
    """What a slice adds to the totals, the index of each trial's first record, and those that could not be used.

    `timed` are rows that were timed alone, where there is a control to hold them against; see `paired_timings.py`.
    """

    totals: dict[Key, Totals] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)


def fold(piece: RecordBatch, vocabulary_of: Callable[[str], Vocabulary], definitions: MetricDefinitions) -> Folded:
    """Fold one slice.

    Args:
        piece: Records of `comparisons` or `outcomes`.
        vocabulary_of: The vocabulary of a trial, by its name; new segments, classes and features are added to it.
        definitions: What is counted.
    """
    columns = read(piece, vocabulary_of, definitions.windows)
    folded = Folded(rejected=columns.rejected)
    if not columns.rows:
        return folded
    if definitions.controls:
        folded.timed = [Timed(*one) for one in columns.timed]
    arrays: ComparisonArrays | OutcomeArrays
    arrays = outcome_arrays(columns) if piece.topic == "outcomes" else comparison_arrays(columns)
    lacking = list(columns.lacking)
    for (trial, start), group in columns.groups.items():
        folded.firsts[trial] = min(group.first, folded.firsts.get(trial, group.first))
        for segment, members in ((ALL, group.rows), *group.segments.items()):
            rows = np.array(members)
            if isinstance(arrays, OutcomeArrays):
                part = outcome_contribution(arrays, rows, group.vocabulary)
            else:
                part = comparison_contribution(arrays, rows, group.vocabulary, lacking)
            if segment == ALL:
                part.number = max(columns.numbers[row] for row in members)
                part.days = traffic(arrays, rows) if isinstance(arrays, ComparisonArrays) else part.days
                group.vocabulary.failures.onto(part)
            whole = Key(trial, segment)
            folded.totals[whole] = folded.totals[whole] + part if whole in folded.totals else part
            if segment == ALL or segment in group.vocabulary.segments.windowed:
                folded.totals[Key(trial, segment, str(start))] = part.light()
    return folded
