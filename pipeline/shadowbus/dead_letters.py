"""A record that could not be used, set aside whole: where it came from, why, and its bytes."""

import base64

from shadowbus.records import DeadLetter, encode
from shadowbus.topology import MAX_RECORD_BYTES

KEPT_BYTES = MAX_RECORD_BYTES // 2
"""Of a longer value the beginning is kept: in base64 the whole would not fit into a record."""


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
    return encode(
        DeadLetter(
            topic=topic,
            partition=partition,
            offset=offset,
            reason=reason,
            timestamp_ms=now_ms,
            key=None if key is None else key.decode("utf-8", "backslashreplace"),
            bytes=None if value is None else base64.b64encode(value[:KEPT_BYTES]).decode("ascii"),
            truncated=value is not None and len(value) > KEPT_BYTES,
        )
    )
