"""Request ids: new ones that never collide, and given ones checked for what a Kafka key needs.

A new id is 16 random hexadecimal digits drawn once per process, a dash, and a running number. That is unique across
processes and hosts like a random UUID (64 bits of chance per process, not per request) at a fifth of the cost. It is a
name, not a secret: whoever has one can guess the next.
"""

import itertools
import os
import uuid

MAX_BYTES = 512
"""Longer ids are refused: a key is stored with every record of its request."""


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
    """An id that somebody gave (text, bytes of text, an integer or a UUID) as text.

    Returns:
        None where it cannot be a key: empty, too long, not text.
    """
    try:
        if isinstance(given, str):
            text = given if type(given) is str else str.__str__(given)
        elif isinstance(given, bytes):
            text = given.decode()
        elif isinstance(given, uuid.UUID) or (isinstance(given, int) and not isinstance(given, bool)):
            text = str(given)
        else:
            return None
        return text if 0 < len(text.encode()) <= MAX_BYTES else None
    except Exception:  # not UTF-8, an integer of too many digits, or a subclass that misbehaves
        return None
