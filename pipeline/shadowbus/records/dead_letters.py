"""A record that could not be used, set aside whole: where it came from, why, and its bytes.

Guaranteed: whatever the record was, its dead letter fits into Kafka. What is too large is cut.
"""

import base64
from dataclasses import dataclass

from shadowbus.limits import brief
from shadowbus.records.codec import VERSION, encode
from shadowbus.topology import MAX_RECORD_BYTES

KEPT_BYTES = MAX_RECORD_BYTES // 2
"""A longer value is cut to this: in base64 the whole would not fit into a record."""

KEPT_KEY_BYTES = 64 * 1024
"""A longer key is cut to this: it is written twice, as the letter's key and inside it, and is no request id anyway."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be used, whole, with where it came from and why. Topic `dead-letters`.

    `bytes` is the value in base64 (null for a null value); where `truncated`, its first part.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    timestamp_ms: int
    key: str | None
    bytes: str | None
    truncated: bool = False
    v: int = VERSION


def dead_letter(
    topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None, *, reason: str, now_ms: int
) -> bytes:
    """The value of a dead letter.

    Args:
        topic: The full name of the topic it was read from.
        partition: Where in it.
        offset: Where in the partition.
        key: Its key.
        value: Its value.
        reason: Why it could not be used, in a few words.
        now_ms: When that was found.
    """
    shown = letter_key(key)
    return encode(
        DeadLetter(
            topic=topic,
            partition=partition,
            offset=offset,
            reason=_with_sizes(brief(reason), key, value),
            timestamp_ms=now_ms,
            key=None if shown is None else shown.decode("utf-8", "backslashreplace"),
            bytes=None if value is None else base64.b64encode(value[:KEPT_BYTES]).decode("ascii"),
            truncated=len(value or b"") > KEPT_BYTES or len(key or b"") > KEPT_KEY_BYTES,
        )
    )


def letter_key(key: bytes | None) -> bytes | None:
    """The key that a dead letter is written under: that of its record, as far as it is kept."""
    return None if key is None else key[:KEPT_KEY_BYTES]


def _with_sizes(reason: str, key: bytes | None, value: bytes | None) -> str:
    """The reason, and how much was cut off.

    >>> _with_sizes("duplicate", b"r1", b"x" * (KEPT_BYTES + 1))
    'duplicate (of the value of 8,388,609 bytes the first 8,388,608 are kept)'
    """
    parts = (("key", key, KEPT_KEY_BYTES), ("value", value, KEPT_BYTES))
    cut = [
        f"of the {name} of {len(part):,} bytes the first {most:,} are kept"
        for name, part, most in parts
        if part is not None and len(part) > most
    ]
    return f"{reason} ({'; '.join(cut)})" if cut else reason
