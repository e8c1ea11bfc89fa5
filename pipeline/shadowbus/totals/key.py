"""What totals are of: a trial, a segment of its requests and a window of time."""

from typing import NamedTuple

ALL = "all"
"""The segment that is the whole trial, and the window that is all of its time."""

VITALS = "vitals"
"""In place of a segment in the key of a partial: the record is the vitals of a stage."""

COUNTED = ("comparisons", "outcomes")
"""The topics whose records are folded."""


class Key(NamedTuple):
    """Of what totals are: `segment` is `all` or `name=value`, `window` is `all` or its start in milliseconds."""

    trial: str
    segment: str = ALL
    window: str = ALL

    def text(self) -> str:
        """The key of an aggregate."""
        return "|".join(self)
