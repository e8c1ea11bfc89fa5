"""Moments as text; the time itself is never asked for here."""

from datetime import UTC, datetime


def moment(at_ms: int) -> str:
    """A moment in UTC.

    >>> moment(1_760_000_000_123)
    '2025-10-09 08:53:20'
    """
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return str(at_ms)
