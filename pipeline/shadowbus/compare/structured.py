"""Answers that are JSON: an object or a list with fields in it.

Two answers agree when no field differs, but for those that are to be ignored. Their distance is the share of fields
that differ, of all that either has. A label is the JSON that would have been right, and the loss is the distance to it.

A field is a value that holds no others, and has a path: `applicant.address.city`, `items[].price` (one path for all
members of a list, which are compared place by place). A path in `ignore` leaves out that field and all below it.
Numbers are equal within the tolerances of `regression.py`; texts, truth values and null only if they are the same.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shadowbus.compare.options import number, texts
from shadowbus.compare.pairwise import Pair, Pairwise

DEEPEST = 64
"""Fields below this depth are no answer any more; their values are compared as they are."""


@dataclass(frozen=True, slots=True)
class Structured(Pairwise):
    """Compares answers that are JSON.

    Attributes:
        ignore: Paths of fields that do not matter.
        absolute_tolerance: A difference between two numbers that never matters.
        relative_tolerance: The same, as a share of the live answer's (or the label's) number.

    >>> Structured(ignore=("id",)).compare([{"id": 1, "a": 2, "b": [3]}], [None], [{"id": 5, "a": 2, "b": [4]}], [None])
    ([False], [0.5])
    """

    task = "json"
    measure = "fields"
    ignore: tuple[str, ...] = ()
    absolute_tolerance: float = 0.0
    relative_tolerance: float = 0.0

    def pair(self, one: object, other: object) -> Pair:
        """Compare two answers; distances are in [0, 1]."""
        if not isinstance(one, dict | list) or not isinstance(other, dict | list):
            return None, None
        fields, differing = self._compared(one, other)
        return not differing, differing.total() / fields if fields else 0.0

    def differences(self, live: object, shadow: object) -> Counter[str]:
        """How many fields differ, by path."""
        return self._compared(live, shadow)[1]

    def _compared(self, live: object, shadow: object) -> tuple[int, Counter[str]]:
        """How many fields there are in both together, and those that differ."""
        first, second = dict(self._fields(live)), dict(self._fields(shadow))
        differing = Counter[str]()
        for place in first.keys() | second.keys():
            if place not in first or place not in second or not self._same(first[place], second[place]):
                differing[_path(place)] += 1
        return len(first.keys() | second.keys()), differing

    def _fields(
        self, value: object, place: tuple[str | int, ...] = ()
    ) -> Iterator[tuple[tuple[str | int, ...], object]]:
        if place and _path(place) in self.ignore:
            return
        below: list[tuple[str | int, object]] = []
        if isinstance(value, dict) and len(place) < DEEPEST:
            below = [(str(name), part) for name, part in value.items()]
        elif isinstance(value, list) and len(place) < DEEPEST:
            below = list(enumerate(value))
        for step, part in below:
            yield from self._fields(part, (*place, step))
        if not below:
            yield place, value

    def _same(self, one: object, other: object) -> bool:
        if _is_number(one) and _is_number(other):
            try:
                first, second = float(str(one)), float(str(other))
            except ValueError:  # an integer too long to be written out
                return one == other
            near = max(self.absolute_tolerance, self.relative_tolerance * abs(first))
            both_nan = math.isnan(first) and math.isnan(second)
            return one == other or both_nan or (math.isfinite(first) and abs(first - second) <= near)
        return type(one) is type(other) and one == other


def structured(options: Mapping[str, object]) -> Structured:
    """The comparator for these options.

    Raises:
        SettingsError: A tolerance is no number of at least zero, or `ignore` no list of paths.
    """
    return Structured(
        texts(options, "ignore"),
        number(options, "absolute_tolerance", 0.0, 0),
        number(options, "relative_tolerance", 0.0, 0),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _path(place: tuple[str | int, ...]) -> str:
    """`("items", 3, "price")` is `items[].price`."""
    text = ""
    for step in place:
        text += "[]" if isinstance(step, int) else f".{step}" if text else step
    return text
