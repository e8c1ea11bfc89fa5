"""Answers that name one of two classes by a score over a threshold.

Where an answer's scores hold one for the positive class, that decides: at `threshold` or over it the answer is the
positive class, below it the other one. Else the class that the prediction names does. Scores need not be probabilities
of all classes here: `{"1": 0.83}` will do. The distance of two answers is the difference of their scores, else 0 when
they agree and 1 when they do not. A label is positive when it names the positive class.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shadowbus.compare.class_name import class_name
from shadowbus.compare.comparator import Judged, Scores
from shadowbus.compare.distribution import CLIP


@dataclass(frozen=True, slots=True)
class Threshold:
    """Compares answers by whether a score is over a threshold.

    Attributes:
        threshold: From which score on an answer is positive.
        positive: The positive class, as `class_name` writes it.

    >>> Threshold(0.3).compare([1], [[0.6, 0.4]], [0], [{"0": 0.65, "1": 0.35}])[0]
    [True]
    >>> Threshold(0.3).judge(1, 0, {"1": 0.5})
    Judged(correct=True, loss=0.6931471805599453, measure='log_loss')
    """

    task = "classification"
    threshold: float
    positive: str = "1"
    same: Mapping[str, str] = field(default_factory=dict)

    def compare(
        self,
        live: Sequence[object],
        live_scores: Sequence[Scores | None],
        shadow: Sequence[object],
        shadow_scores: Sequence[Scores | None],
    ) -> tuple[list[bool | None], list[float | None]]:
        """Compare n pairs; see `Comparator.compare`."""
        ours, theirs = list(map(self._score, live_scores)), list(map(self._score, shadow_scores))
        agree, distances = list[bool | None](), list[float | None]()
        for one, other, mine, its in zip(live, shadow, ours, theirs, strict=True):
            first, second = self._decided(one, mine), self._decided(other, its)
            same = None if first is None or second is None else first == second
            apart = abs(mine - its) if mine is not None and its is not None else math.inf
            agree.append(same)
            distances.append(None if same is None else apart if apart < math.inf else float(not same))
        return agree, distances

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold an answer against its label; the loss is the "log_loss" of a score from 0 to 1, else "zero_one"."""
        truth, score = self._class(label), self._score(scores)
        answer = self._decided(prediction, score)
        if truth is None or answer is None:
            return Judged(None, None)
        positive = truth == self.positive
        correct = positive == answer
        if score is None or not 0 <= score <= 1:
            return Judged(correct, float(not correct), "zero_one")
        return Judged(correct, -math.log(max(CLIP, score if positive else 1 - score)), "log_loss")

    def _decided(self, prediction: object, score: float | None) -> bool | None:
        """Whether an answer is positive; None where there is none."""
        name = self._class(prediction)
        if name is None:
            return None
        return name == self.positive if score is None else score >= self.threshold

    def _class(self, value: object) -> str | None:
        name = class_name(value)
        return None if name is None else self.same.get(name, name)

    def _score(self, scores: object) -> float | None:
        """The score of the positive class, if it is a finite number."""
        found: object = None
        if isinstance(scores, list | tuple):
            place = int(self.positive) if self.positive.isdecimal() and self.positive.isascii() else len(scores)
            found = scores[place] if place < len(scores) else None
        elif isinstance(scores, Mapping):
            named = [score for key, score in scores.items() if class_name(key) == self.positive]
            found = named[0] if len(named) == 1 else None
        if not isinstance(found, int | float) or isinstance(found, bool):
            return None
        try:
            score = float(found)
        except OverflowError:
            return None
        return score if math.isfinite(score) else None
