"""Is a consumer that says nothing idle or dead? Pure: told what there is and what was taken, it says since when."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowbus.stage import Input


@dataclass(slots=True)
class Progress:
    """Compares the ends of the inputs with what was taken from them.

    >>> progress = Progress()
    >>> ends = {("partials", 0): 7}
    >>> progress.stuck_seconds(ends, taken=7, now=0.0), progress.stuck_seconds(ends, taken=7, now=99.0)
    (0.0, 0.0)
    >>> more = {("partials", 0): 8}
    >>> progress.stuck_seconds(more, taken=7, now=100.0), progress.stuck_seconds(more, taken=7, now=130.0)
    (0.0, 30.0)
    >>> progress.stuck_seconds(more, taken=8, now=131.0)
    0.0
    """

    taken: int = -1
    ends: dict[Input, int] = field(default_factory=dict)
    since: float | None = None

    def stuck_seconds(self, ends: Mapping[Input, int], taken: int, now: float) -> float:
        """For how long there has been something new, and none of it was taken.

        Args:
            ends: Where each input ends now.
            taken: How many records were taken in all.
            now: Monotonic seconds.
        """
        if taken != self.taken:
            self.taken, self.ends, self.since = taken, dict(ends), None
        elif self.since is None and ends != self.ends:
            self.since = now
        return 0.0 if self.since is None else now - self.since
