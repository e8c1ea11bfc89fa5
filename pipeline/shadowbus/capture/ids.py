"""Request ids: new ones that never collide, and given ones checked for what a Kafka key needs.

A new id is 16 random hexadecimal digits drawn once per process, a dash, and a running number. That is unique across
processes and hosts like a random UUID (64 bits of chance per process, not per request) at a fifth of the cost. It is a
name, not a secret: whoever has one can guess the next.
"""

import itertools
import os

from shadowbus.capture.plain import plain
from shadowbus.limits import MAX_ID_BYTES

_EXACT = 2**53
"""Above that a float may stand for a neighbour of the whole number that was meant."""

_LARGEST = 10**100


class RequestIds:
    """A source of new ids for one process."""

    __slots__ = ("_numbers", "_prefix")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start a new run of ids, as a forked child has to: it would repeat its parent's."""
        self._prefix = f"{os.urandom(8).hex()}-"
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """An id that nobody else has."""
        return f"{self._prefix}{next(self._numbers):x}"


def given_id(given: object) -> str | None:
    """An id that somebody gave as text: whatever has text or a whole number as its plain value.

    A whole number is the same id however it is held (7, numpy's 7, 7.0, Decimal("7")): data frames and databases turn
    one into the other on the way from a request to its label.

    Returns:
        None where it cannot be a key: empty, too long, not text.
    """
    if type(given) is not str:
        given = _as_text(given)
    if type(given) is not str or not 0 < len(given) <= MAX_ID_BYTES:
        return None
    if given.isascii():
        return given
    try:
        return given if len(given.encode()) <= MAX_ID_BYTES else None
    except UnicodeEncodeError:
        return None


def _as_text(given: object) -> str | None:
    try:
        found = plain(given, MAX_ID_BYTES)
    except (TypeError, ValueError):
        return None
    if type(found) is float and abs(found) < _EXACT and found.is_integer():
        found = int(found)
    if type(found) is int and abs(found) < _LARGEST:
        return str(found)
    return found if type(found) is str else None
