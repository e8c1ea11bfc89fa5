"""What each field of a record may hold: one definition, for whoever writes records and for whoever reads them.

A record is checked where it enters (by capture in the service, by the first stage that reads a topic others write), so
that no later stage refuses what an earlier one has counted. Nothing here needs more than Python itself.
"""

EARLIEST_MS = 0
LATEST_MS = 4_102_444_800_000
"""Times are integer milliseconds since the epoch, from `EARLIEST_MS` on and before `LATEST_MS`, the year 2100.

Any time since March 1970 in microseconds, or since the first hours of 1970 in nanoseconds, is beyond that."""

SECONDS = range(946_684_800, LATEST_MS // 1_000)
"""A time of these is a moment between 2000 and 2100 in seconds: as milliseconds it would be a day of early 1970."""

MAX_ID_BYTES = 512
"""A request id is the key of every record of its request: 1 to this many bytes of UTF-8 text."""

MAX_MODEL_CHARACTERS = 200
MAX_LIVE_MODELS = 500
"""The most live models of one shadow in one partition: each is a trial with its own books and totals."""

MAX_SEGMENTS_BYTES = 4_096
"""The most bytes of `segments` as JSON: they are copied into every comparison."""

MAX_SEGMENT_CHARACTERS = 100
"""The longest name or value of a segment that is kept apart."""

MAX_ANSWER_BYTES = 1024 * 1024
"""The largest answer of one model, prediction and scores together, as JSON: two of them and a label are one record."""

MAX_LABEL_BYTES = 1024 * 1024
MAX_ERROR_CHARACTERS = 2_000
"""A longer error text is cut to this."""

MAX_LATENCY_MS = 86_400_000.0
"""A latency is at least 0 and at most a day."""

MAX_TRIAL_CHARACTERS = 600
HEAVIEST = 1e3
"""The largest weight of a comparison: how many requests it represents. The smallest is 1."""

LEAST_PROBABILITY = 1e-6
"""The least chance with which a request may have been chosen to be labelled: its outcome's weight is divided by it."""

HEAVIEST_OUTCOME = HEAVIEST / LEAST_PROBABILITY


def is_time_ms(value: object) -> bool:
    """Whether this is a time that every stage takes.

    >>> [is_time_ms(time) for time in (1_760_000_000_000, 1_760_000_000, 1_760_000_000_000_000, 1.5, True, -1)]
    [True, False, False, False, False, False]
    """
    return type(value) is int and EARLIEST_MS <= value < LATEST_MS and value not in SECONDS


def no_time(name: str, value: object) -> str:
    """What is wrong with a field that should hold a time.

    >>> no_time("timestamp_ms", 1_760_000_000_000_000)
    "the field 'timestamp_ms' has to be integer milliseconds since 1970, and 1760000000000000 looks like microseconds"
    """
    need = f"the field '{name}' has to be integer milliseconds since 1970"
    if type(value) is not int:
        return f"{need}, not {type(value).__name__}"
    if not 0 <= value < 10**20:
        return f"{need}, and before 2100"
    units = {"seconds": range(SECONDS.stop), "microseconds": range(10**17), "nanoseconds": range(10**20)}
    return f"{need}, and {value} looks like {next(unit for unit, usual in units.items() if value in usual)}"


def first_time_ms(*moments: int) -> int:
    """The first of some moments that is a time at all; 0 where none is.

    >>> first_time_ms(-1, 7), first_time_ms(-1)
    (7, 0)
    """
    return next(filter(is_time_ms, moments), 0)


def brief(text: str, characters: int = MAX_ERROR_CHARACTERS) -> str:
    """The beginning of a text that may have no end.

    >>> brief("abcdef", 4), brief("abcd", 4)
    ('abc…', 'abcd')
    """
    return text if len(text) <= characters else text[: characters - 1] + "…"


def too_large(what: str, size: int, most: int) -> str:
    """What is said of something that was not kept.

    >>> too_large("answer", 9_000_000, 4_000_000)
    'the answer of 9,000,000 bytes was left out: at most 4,000,000 are kept'
    """
    return f"the {what} of {size:,} bytes was left out: at most {most:,} are kept"


def is_model(name: object) -> bool:
    """Whether this can name a live model: trials are named `<live model>~<shadow>`, and keys are joined by `|`.

    >>> [is_model(name) for name in ("champion@3", "", "a|b", "a~b", None)]
    [True, False, False, False, False]
    """
    return isinstance(name, str) and 0 < len(name) <= MAX_MODEL_CHARACTERS and "|" not in name and "~" not in name


def is_segment(name: object, value: object) -> bool:
    """Whether this can be counted as a segment of its own; other values in `segments` are passed on and not counted.

    >>> [is_segment("country", value) for value in ("DE", 3, True, 1.5, None, "a|b", "x" * 101, 10**5_000)]
    [True, True, True, False, False, False, False, False]
    """
    if not isinstance(name, str) or len(name) > MAX_SEGMENT_CHARACTERS or "|" in name or "=" in name:
        return False
    if isinstance(value, str):
        return len(value) <= MAX_SEGMENT_CHARACTERS and "|" not in value
    return isinstance(value, int) and abs(value) < 10**MAX_SEGMENT_CHARACTERS


MOST_DAYS = 400
"""The most days counted for a trial, and the largest `gate.min_days`."""
