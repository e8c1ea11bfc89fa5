"""The states of a verdict and the legal moves between them, as one table; the docs draw it from here.

What comes in is the verdict that stands and what the evidence shows by itself; what goes out is the verdict that stands
from now on, and a sentence about it. Pure: the same two give the same move, so a verdict that is worked out again from
the same evidence and the same standing is the same.
"""

from typing import NamedTuple

from shadowbus.verdict.criterion import Verdict

START: Verdict = "KEEP_WATCHING"
"""Where a trial begins, before there is any verdict on it."""


class Move(NamedTuple):
    """One row of the table: with this verdict standing and this shown, what becomes of it, and what is said of it."""

    stands: Verdict
    shown: Verdict
    becomes: Verdict
    note: str = ""

    @property
    def refused(self) -> bool:
        """Whether the evidence shows something and the verdict stays what it was."""
        return self.becomes != self.shown


_FINAL = "SEND BACK is final for this version: "

MOVES = (
    Move("KEEP_WATCHING", "KEEP_WATCHING", "KEEP_WATCHING"),
    Move("KEEP_WATCHING", "PROMOTE", "PROMOTE", "Every criterion has been shown to hold."),
    Move("KEEP_WATCHING", "SEND_BACK", "SEND_BACK", "A criterion has been shown to fail."),
    Move("PROMOTE", "PROMOTE", "PROMOTE"),
    Move("PROMOTE", "KEEP_WATCHING", "KEEP_WATCHING", "PROMOTE was shown, and what it rested on is open again."),
    Move("PROMOTE", "SEND_BACK", "SEND_BACK", "PROMOTE was shown, and a criterion has been shown to fail since."),
    Move("SEND_BACK", "SEND_BACK", "SEND_BACK"),
    Move("SEND_BACK", "KEEP_WATCHING", "SEND_BACK", f"{_FINAL}what was shown to fail is open again."),
    Move("SEND_BACK", "PROMOTE", "SEND_BACK", f"{_FINAL}all holds by now, so let it run as a new version."),
)
"""Every pair of a verdict that stands and one that is shown."""


def move(stands: str | None, shown: Verdict) -> Move:
    """The row for what stands (None: no verdict yet) and what is shown now.

    >>> move(None, "PROMOTE").becomes, move("SEND_BACK", "PROMOTE").becomes
    ('PROMOTE', 'SEND_BACK')

    Raises:
        ValueError: What stands is no verdict.
    """
    for row in MOVES:
        if (row.stands, row.shown) == (stands or START, shown):
            return row
    raise ValueError(f"{stands!r} is no verdict")
