"""What every kind of answer is compared by: do two answers agree, how far apart are they, and who was right?

In: batches of live and shadow answers as they came from JSON, and labels. Out: verdicts on single answers, as plain
values. Guaranteed: no value whatsoever raises; what cannot be compared is None and never counts as right, wrong or
equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Scores = Mapping[str, object] | Sequence[object]
"""Probabilities by class as text, or in a list for classes 0, 1, 2, …; anything else is as good as none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer held against its label.

    Attributes:
        correct: Whether the answer was right, or None when label and answer cannot be compared.
        loss: How wrong it was (0 is best), or None when that cannot be said.
        measure: What the loss is in, such as "log_loss"; None without a loss. Losses of two measures must never be
            subtracted from each other.
    """

    correct: bool | None
    loss: float | None
    measure: str | None = None


class Comparator(Protocol):
    """One kind of answer. Has no state: any thread may use it."""

    @property
    def task(self) -> str:
        """The kind's name in the settings, such as "classification"."""
        ...

    def compare(
        self,
        live: Sequence[object],
        live_scores: Sequence[Scores | None],
        shadow: Sequence[object],
        shadow_scores: Sequence[Scores | None],
    ) -> tuple[list[bool | None], list[float | None]]:
        """Compare a batch of n pairs; a pair's result does not depend on the others (but for rounding).

        Args:
            live: n predictions of the champion, any JSON values.
            live_scores: Their n scores.
            shadow: n predictions of the shadow.
            shadow_scores: Their n scores.

        Returns:
            n times whether they agree, and n distances (finite, 0 is nearest); None where they cannot be compared.
        """
        ...

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold one answer against what really happened.

        Args:
            label: What really happened, any JSON value.
            prediction: The answer.
            scores: Its scores.
        """
        ...
