"""Answers that are text somebody reads.

Two texts agree when their distance is at most `max_distance`. That is the Levenshtein distance as a share of the longer
text: how much of it would have to be written anew, 0 (equal) to 1. Before, runs of white space become one space
(`ignore_space`) and capitals small letters (`ignore_case`), where that was asked for, and characters are brought into
one form (Unicode NFC), since "é" can be written in two ways. A label is the text that would have been right.

Of texts longer than `LONGEST` characters the cost would be felt by everything else; they are either equal or not.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from shadowbus.compare.options import flag, number
from shadowbus.compare.pairwise import Pair, Pairwise

LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Text(Pairwise):
    """Compares answers that are text.

    Attributes:
        max_distance: Up to which distance two texts agree, 0 to 1.
        ignore_case: Whether capitals do not matter.
        ignore_space: Whether kinds and lengths of white space do not matter.

    >>> Text(max_distance=0.25).compare(["the cat", "the cat"], [None] * 2, ["the  car", "a dog"], [None] * 2)[0]
    [True, False]
    """

    task = "text"
    measure = "edit_distance"
    max_distance: float = 0.0
    ignore_case: bool = False
    ignore_space: bool = True

    def pair(self, one: object, other: object) -> Pair:
        """Compare two texts; distances are in [0, 1]."""
        if not isinstance(one, str) or not isinstance(other, str):
            return None, None
        first, second = self._plain(one), self._plain(other)
        if first == second:
            return True, 0.0
        if max(len(first), len(second)) > LONGEST:
            return False, None
        distance = Levenshtein.normalized_distance(first, second)
        return distance <= self.max_distance, distance

    def _plain(self, text: str) -> str:
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        if self.ignore_case:
            text = text.casefold()
        return " ".join(text.split()) if self.ignore_space else text


def text(options: Mapping[str, object]) -> Text:
    """The comparator for these options.

    Raises:
        SettingsError: `max_distance` is not a share, or one of the others not true or false.
    """
    return Text(
        number(options, "max_distance", 0.0, 0, 1),
        flag(options, "ignore_case", default=False),
        flag(options, "ignore_space", default=True),
    )
