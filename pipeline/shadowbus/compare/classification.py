"""Answers that name a class.

Two answers agree when they name the same class (`class_name.py` says when that is). Their distance is the total
variation distance of their scores when both have probabilities, else 0 when they agree and 1 when they do not. An
answer's loss is the log loss of the label's probability when it has that, else 0 when it is right and 1 when it is
wrong.

A model that answers with scores may leave it to a threshold which class is meant: `threshold.py`.
"""

import math
from collections.abc import Mapping, Sequence
from operator import eq

from shadowbus.compare.class_name import class_name, classes_of
from shadowbus.compare.comparator import Comparator, Judged, Scores
from shadowbus.compare.distribution import CLIP, distances, probability
from shadowbus.compare.options import number, text
from shadowbus.compare.threshold import Threshold
from shadowbus.errors import SettingsError

_PLAIN = ({int}, {bool}, {int, bool})
"""Types for which Python's own == agrees with `class_name`."""


class Classification:
    """Compares answers that name a class.

    >>> Classification().compare([1], [[0.25, 0.75]], [True], [[0.5, 0.5]])
    ([True], [0.25])
    >>> Classification().judge("1", 1, [0.5, 0.5])
    Judged(correct=True, loss=0.6931471805599453, measure='log_loss')
    """

    task = "classification"

    def __init__(self, same: Mapping[str, str] | None = None) -> None:
        self._same = same or {}

    def compare(
        self,
        live: Sequence[object],
        live_scores: Sequence[Scores | None],
        shadow: Sequence[object],
        shadow_scores: Sequence[Scores | None],
    ) -> tuple[list[bool | None], list[float | None]]:
        """Compare n pairs; see `Comparator.compare`. Distances are in [0, 1]."""
        agree = _agreements(live, shadow, self._same)
        apart = distances(live_scores, shadow_scores)
        if None in apart:
            apart = [
                distance if distance is not None else None if same is None else float(not same)
                for distance, same in zip(apart, agree, strict=True)
            ]
        return agree, apart

    def judge(self, label: object, prediction: object, scores: Scores | None) -> Judged:
        """Hold an answer against its label; the loss is "log_loss" or "zero_one"."""
        truth, answer = class_name(label), class_name(prediction)
        if truth is None or answer is None:
            return Judged(None, None)
        correct = self._same.get(truth, truth) == self._same.get(answer, answer)
        chance = probability(scores, self._same.get(truth, truth))
        if chance is None:
            chance = probability(scores, truth)
        if chance is None:
            return Judged(correct, float(not correct), "zero_one")
        return Judged(correct, -math.log(min(1.0, max(CLIP, chance))), "log_loss")


def classification(options: Mapping[str, object]) -> Comparator:
    """The comparator for these options; with a `threshold`, scores decide which class an answer names.

    Raises:
        SettingsError: `threshold` is no finite number, `positive` names no class, or stands without a threshold;
            `same_class` is no table of names and classes.
    """
    given = options.get("same_class", {})
    same = classes_of(given)
    if not isinstance(given, Mapping) or len(same) < len(given):
        raise SettingsError(
            "'same_class' must be a table of names and the classes they stand for: { yes = 1, no = 0 }."
        )
    if "threshold" not in options:
        if "positive" in options:
            raise SettingsError("'positive' says nothing without a 'threshold'.")
        return Classification(same)
    positive = class_name(text(options, "positive", "1"))
    return Threshold(number(options, "threshold", 0.5, -math.inf), positive or "1", same)


def _agreements(live: Sequence[object], shadow: Sequence[object], same: Mapping[str, str]) -> list[bool | None]:
    kinds = {*map(type, live), *map(type, shadow)}
    if kinds in _PLAIN and not same:
        return list(map(eq, live, shadow))
    return [_agree(one, other, same) for one, other in zip(live, shadow, strict=True)]


def _agree(one: object, other: object, same: Mapping[str, str]) -> bool | None:
    if type(one) is str and one == other:
        return True
    first, second = class_name(one), class_name(other)
    return None if first is None or second is None else same.get(first, first) == same.get(second, second)
