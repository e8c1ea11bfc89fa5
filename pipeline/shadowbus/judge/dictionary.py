"""What many comparisons have in common, kept once: a number stands for it in each of them. Pure.

A trial has few combinations of segments, names of scores and weights, and millions of comparisons. Combinations that
come after the first `MOST` (a customer's number as a segment) are kept with their comparisons.
"""

from typing import NamedTuple

import orjson

from shadowbus.limits import HEAVIEST, MAX_TRIAL_CHARACTERS
from shadowbus.trials import shadow_of

MOST = 10_000
LARGEST = 32 * 1024
"""A frame of more bytes stays with its comparison: all the others are kept in memory."""


class SharedFields(NamedTuple):
    """What stands around the answers of a comparison; `segments` is JSON, names are None where scores have none."""

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
    """The numbers of the frames of one partition.

    >>> frames, frame = FieldDictionary(), SharedFields("champion@3~challenger@4", b"{}", ("no", "yes"), None, 1.0)
    >>> frames.number_of(frame), frames.number_of(frame), frames.frame_of(0) == frame
    (0, 0, True)
    >>> [number for number, _ in frames.new]
    [0]
    """

    def __init__(self) -> None:
        self._numbers: dict[SharedFields, int] = {}
        self._frames: list[SharedFields] = []
        self.new: list[tuple[int, bytes]] = []

    def number_of(self, frame: SharedFields) -> int | bytes:
        """What stands for a frame: its number, or its bytes when there are too many.

        Raises:
            ValueError, TypeError: It is not what a comparison of ours could bring.
        """
        number = self._numbers.get(frame)
        if number is not None:
            return number
        _check(frame)
        packed = frame.to_bytes()
        if len(self._frames) == MOST or len(packed) > LARGEST:
            return packed
        self.new.append((len(self._frames), packed))
        return self.restore(packed)

    def frame_of(self, number: int | bytes) -> SharedFields:
        """The frame that a number, or its bytes, stand for."""
        return self._frames[number] if isinstance(number, int) else _frame(number)

    def restore(self, packed: bytes) -> int:
        """Take back the next frame; its number."""
        frame = _frame(packed)
        self._numbers[frame] = len(self._frames)
        self._frames.append(frame)
        return self._numbers[frame]


def _check(frame: SharedFields) -> None:
    if not 0 < len(frame.trial) <= MAX_TRIAL_CHARACTERS or "|" in frame.trial:
        raise ValueError("the field 'trial' has to be text without '|'")
    if not 1 <= frame.weight <= HEAVIEST:
        raise ValueError(f"the field 'weight' has to be a number from 1 to {HEAVIEST:g}")
    segments = orjson.loads(frame.segments)
    if not isinstance(segments, dict):
        raise TypeError("the field 'segments' has to be an object")
    orjson.dumps(segments)


def _frame(packed: bytes) -> SharedFields:
    trial, segments, live, shadow, weight, *marks = orjson.loads(packed)
    return SharedFields(trial, segments.encode(), _names(live), _names(shadow), weight, *marks)


def _names(kept: list[str] | None) -> tuple[str, ...] | None:
    return None if kept is None else tuple(kept)
