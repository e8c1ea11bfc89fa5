"""What each field of a record may hold: one definition, for whoever writes records and for whoever reads them.

A record is checked where it enters (by capture in the service, by the first stage that reads a topic others write), so
that no later stage refuses what an earlier one has counted. Nothing here needs more than Python itself.
"""

EARLIEST_MS = 0
LATEST_MS = 4_102_444_800_000
"""Times are integer milliseconds since the epoch, from `EARLIEST_MS` on and before `LATEST_MS`, the year 2100.

Every moment since March 1970 in microseconds, and since 1970's first hours in nanoseconds, lies beyond that."""

SECONDS = range(946_684_800, LATEST_MS // 1_000)
"""A time of these is a moment between 2000 and 2100 in seconds: as milliseconds it would be a day of early 1970."""

MAX_ID_BYTES = 512
"""A request id is the key of every record of its request: text of 1 to so many bytes in UTF-8."""

MAX_MODEL_CHARACTERS = 200
MAX_SEGMENTS_BYTES = 4_096
"""More than this in `segments`, as JSON, is no slicing any more, and is copied into every comparison."""

MAX_SEGMENT_CHARACTERS = 100
"""The longest name or value of a segment that is kept apart."""


def is_time_ms(value: object) -> bool:
    """Whether this is a time that every stage takes.

    >>> [is_time_ms(time) for time in (1_760_000_000_000, 1_760_000_000, 1_760_000_000_000_000, 1.5, True, -1)]
    [True, False, False, False, False, False]
    """
    return type(value) is int and EARLIEST_MS <= value < LATEST_MS and value not in SECONDS


def is_model(name: object) -> bool:
    """Whether this can name a live model: trials are named `<live model>~<shadow>`, and keys are joined by `|`.

    >>> [is_model(name) for name in ("champion@3", "", "a|b", "a~b", None)]
    [True, False, False, False, False]
    """
    return isinstance(name, str) and 0 < len(name) <= MAX_MODEL_CHARACTERS and "|" not in name and "~" not in name


def is_segment(name: object, value: object) -> bool:
    """Whether this can be a slice of its own; whatever else stands in `segments` travels along and is not counted.

    >>> [is_segment("country", value) for value in ("DE", 3, True, 1.5, None, "a|b", "x" * 101, 10**5_000)]
    [True, True, True, False, False, False, False, False]
    """
    if not isinstance(name, str) or len(name) > MAX_SEGMENT_CHARACTERS or "|" in name or "=" in name:
        return False
    if isinstance(value, str):
        return len(value) <= MAX_SEGMENT_CHARACTERS and "|" not in value
    return isinstance(value, int) and abs(value) < 10**MAX_SEGMENT_CHARACTERS
