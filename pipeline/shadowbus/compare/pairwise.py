"""What kinds of answers have in common that are compared two at a time and know no scores.

In: a kind that says how near two answers are. Out: a comparator, in which a label is an answer too: the one that would
have been right. Being right is to agree with it, and the loss is the distance to it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from shadowbus.compare.comparator import Judged, Scores

Pair = tuple[bool | None, float | None]
"""Whether two answers agree, and their distance; None where they cannot be compared."""


class Scoreless(ABC):
    """A comparator that ignores scores.

    Attributes:
        task: The kind's name in the settings.
        measure: What the distance to a label is in.
    """

    __slots__ = ()
    task: str
    measure: str

    @abstractmethod
    def pairs(self, live: Sequence[object], shadow: Sequence[object]) -> tuple[list[bool | None], list[float | None]]:
        """N times whether they agree, and n distances; the answers are any JSON values."""

    def compare(
        self,
        live: Sequence[object],
        live_scores: Sequence[Scores | None],
        shadow: Sequence[object],
        shadow_scores: Sequence[Scores | None],
    ) -> tuple[list[bool | None], list[float | None]]:
        """Compare n pairs; see `Comparator.compare`. Scores are ignored."""
        del live_scores, shadow_scores
        return self.pairs(live, shadow)

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold an answer against its label, which takes the live answer's place; the loss is the distance."""
        del scores
        (correct,), (distance,) = self.pairs([label], [prediction])
        return Judged(correct, distance, None if distance is None else self.measure)


class Pairwise(Scoreless):
    """A comparator that takes the pairs one by one."""

    __slots__ = ()

    @abstractmethod
    def pair(self, one: object, other: object) -> Pair:
        """Compare a live answer, or a label, with another answer; any JSON values."""

    def pairs(self, live: Sequence[object], shadow: Sequence[object]) -> tuple[list[bool | None], list[float | None]]:
        """Each pair by itself."""
        found = list(map(self.pair, live, shadow))
        return [same for same, _ in found], [distance for _, distance in found]
