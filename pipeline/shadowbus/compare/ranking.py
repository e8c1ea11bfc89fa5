"""Answers that are a list of things, the best first.

Two rankings agree when the first `top_k` of both have at least the share `min_overlap` in common, in whatever order.
Their distance is one minus the rank-biased overlap, which looks at the whole lists and at their first places most
(Webber, Moffat and Zobel, *A similarity measure for indefinite rankings*, 2010, equation 32). A label is the thing, or
the list of things, that would have been right: an answer is right when one of them is among its first `top_k`, and its
loss is one minus the reciprocal of the first such place.

Things are named as classes are (`class_name.py`): 3 and "3" are one. A list that names a thing twice, or holds anything
that names nothing, is no ranking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadowbus.compare.class_name import class_name
from shadowbus.compare.comparator import Judged, Scores
from shadowbus.compare.options import count, number
from shadowbus.compare.pairwise import Pair, Pairwise


@dataclass(frozen=True, slots=True)
class Ranking(Pairwise):
    """Compares answers that are a list of things, the best first.

    Attributes:
        top_k: How many places matter for agreement, and for being right.
        min_overlap: The share of them that two rankings must have in common to agree, 0 to 1.
        persistence: How likely a reader goes on from one place to the next, 0 to below 1: at 0.9 the first ten places
            carry 86 % of the weight of the distance.

    >>> Ranking(top_k=2, min_overlap=0.5).compare([["a", "b", "c"]], [None], [["b", "d", "a"]], [None])[0]
    [True]
    >>> Ranking(top_k=2).judge(["c", "b"], ["a", "b", "c"], None)
    Judged(correct=True, loss=0.5, measure='reciprocal_rank')
    """

    task = "ranking"
    measure = "reciprocal_rank"
    top_k: int = 10
    min_overlap: float = 1.0
    persistence: float = 0.9

    def pair(self, one: object, other: object) -> Pair:
        """Compare two rankings; distances are in [0, 1]."""
        first, second = _ranking(one), _ranking(other)
        if first is None or second is None:
            return None, None
        near = self._overlap(first, second) >= self.min_overlap
        return near, 1 - rank_biased_overlap(first, second, self.persistence)

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold an answer against its label; the loss is one minus the "reciprocal_rank"."""
        del scores
        ranking = _ranking(prediction)
        wanted = _ranking(label if isinstance(label, list | tuple) else [label])
        if ranking is None or not wanted:
            return Judged(None, None)
        place = next((place for place, thing in enumerate(ranking, 1) if thing in set(wanted)), None)
        loss = 1.0 if place is None else 1 - 1 / place
        return Judged(place is not None and place <= self.top_k, loss, self.measure)

    def _overlap(self, one: list[str], other: list[str]) -> float:
        first, second = set(one[: self.top_k]), set(other[: self.top_k])
        most = max(len(first), len(second))
        return len(first & second) / most if most else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], persistence: float) -> float:
    """How alike two rankings are, 0 (nothing in common) to 1 (equal), extrapolated beyond their ends.

    Args:
        one: Different things, the best first.
        other: The same of the other.
        persistence: 0 to below 1.

    >>> rank_biased_overlap(["a", "b"], ["a", "b"], 0.9), rank_biased_overlap(["a"], ["b"], 0.9)
    (1.0, 0.0)
    """
    short, long = sorted((one, other), key=len)
    if not short:
        return float(not long)
    seen_short, seen_long = set[str](), set[str]()
    shared, total, weight = 0, 0.0, 1.0
    shared_at_short = 0
    for depth, thing in enumerate(long, 1):
        seen_long.add(thing)
        shared += thing in seen_short
        if depth <= len(short):
            mine = short[depth - 1]
            seen_short.add(mine)
            shared += mine in seen_long
            shared_at_short = shared
        weight *= persistence
        total += weight * shared / depth
        if depth > len(short):
            total += weight * shared_at_short * (depth - len(short)) / (len(short) * depth)
    tail = ((shared - shared_at_short) / len(long) + shared_at_short / len(short)) * weight
    if persistence == 0:
        return float(short[0] == long[0])
    return min(1.0, max(0.0, (1 - persistence) / persistence * total + tail))


def ranking(options: Mapping[str, object]) -> Ranking:
    """The comparator for these options.

    Raises:
        SettingsError: One of them is out of bounds.
    """
    return Ranking(
        count(options, "top_k", 10),
        number(options, "min_overlap", 1.0, 0, 1),
        number(options, "persistence", 0.9, 0, 0.999),
    )


def _ranking(value: object) -> list[str] | None:
    if not isinstance(value, list | tuple):
        return None
    names = [None if isinstance(thing, list | tuple) else class_name(thing) for thing in value]
    found = [name for name in names if name is not None]
    return found if len(found) == len(names) == len(set(found)) else None
