"""Moments as text."""

from datetime import UTC, datetime


def moment(ms: int) -> str:
    """A moment, to the minute; empty where it is not known.

    >>> moment(1_760_000_000_000), moment(0)
    ('2025-10-09 08:53 UTC', '')
    """
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC" if ms > 0 else ""
    except (OverflowError, OSError, ValueError):
        return ""
