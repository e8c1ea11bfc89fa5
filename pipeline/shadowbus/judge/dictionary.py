"""Dictionary encoding: fields that many comparisons share are kept once, and a number stands for them. Pure.

In: the shared fields of a comparison. Out: their number, and from a number the fields. A trial has few combinations of
segments, names of scores and weights, and millions of comparisons. Combinations after the first `MOST` (such as a
customer's number as a segment) are kept with their comparisons.
"""

from typing import NamedTuple

import orjson

from shadowbus.limits import HEAVIEST, MAX_TRIAL_CHARACTERS
from shadowbus.trials import shadow_of

MOST = 10_000
LARGEST = 32 * 1024
"""Shared fields of more bytes stay with their comparison; all others are in memory."""


class SharedFields(NamedTuple):
    """What comparisons share beside their answers. `segments` is JSON; names are None where scores have none."""

    trial: str
    segments: bytes
    live_names: tuple[str, ...] | None
    shadow_names: tuple[str, ...] | None
    weight: float
    trained_on: bool = False
    before_bundle: bool = False

    @property
    def shadow(self) -> str:
        """The shadow's name.

        >>> SharedFields("champion@3~challenger@4", b"{}", None, None, 1.0).shadow
        'challenger'
        """
        return shadow_of(self.trial)

    def to_bytes(self) -> bytes:
        """As JSON."""
        kept = (self.trial, self.segments.decode(), self.live_names, self.shadow_names, self.weight)
        marks = (self.trained_on, self.before_bundle) if self.before_bundle else (True,) if self.trained_on else ()
        return orjson.dumps((*kept, *marks))


class FieldDictionary:
    """The numbers of the shared fields of one partition.

    >>> dictionary, shared = FieldDictionary(), SharedFields("champion@3~challenger@4", b"{}", ("no", "yes"), None, 1.0)
    >>> dictionary.number_of(shared), dictionary.number_of(shared), dictionary.fields_of(0) == shared
    (0, 0, True)
    >>> [number for number, _ in dictionary.new]
    [0]
    """

    def __init__(self) -> None:
        self._numbers: dict[SharedFields, int] = {}
        self._fields: list[SharedFields] = []
        self.new: list[tuple[int, bytes]] = []

    def number_of(self, shared: SharedFields) -> int | bytes:
        """The number of shared fields, or their bytes where the dictionary is full or they are too large.

        Raises:
            ValueError, TypeError: No comparison that replay writes has such fields.
        """
        number = self._numbers.get(shared)
        if number is not None:
            return number
        _check(shared)
        packed = shared.to_bytes()
        if len(self._fields) == MOST or len(packed) > LARGEST:
            return packed
        self.new.append((len(self._fields), packed))
        return self.restore(packed)

    def fields_of(self, number: int | bytes) -> SharedFields:
        """The shared fields for a number, or from their own bytes."""
        return self._fields[number] if isinstance(number, int) else _fields(number)

    def restore(self, packed: bytes) -> int:
        """Restore the next shared fields; returns their number."""
        shared = _fields(packed)
        self._numbers[shared] = len(self._fields)
        self._fields.append(shared)
        return self._numbers[shared]


def _check(shared: SharedFields) -> None:
    if not 0 < len(shared.trial) <= MAX_TRIAL_CHARACTERS or "|" in shared.trial:
        raise ValueError("the field 'trial' has to be text without '|'")
    if not 1 <= shared.weight <= HEAVIEST:
        raise ValueError(f"the field 'weight' has to be a number from 1 to {HEAVIEST:g}")
    segments = orjson.loads(shared.segments)
    if not isinstance(segments, dict):
        raise TypeError("the field 'segments' has to be an object")
    orjson.dumps(segments)


def _fields(packed: bytes) -> SharedFields:
    trial, segments, live, shadow, weight, *marks = orjson.loads(packed)
    return SharedFields(trial, segments.encode(), _names(live), _names(shadow), weight, *marks)


def _names(kept: list[str] | None) -> tuple[str, ...] | None:
    return None if kept is None else tuple(kept)
