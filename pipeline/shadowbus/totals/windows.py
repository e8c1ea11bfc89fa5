"""How long windows are: short while a trial is young, so that there is something to see, and longer later. Pure."""

from dataclasses import dataclass

LEVELS = ((2, 30), (12, 5))
"""(age, parts): until a trial is `age` full windows old, a full window is cut into `parts`."""

SHORTEST_MS = 5_000


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of records of one trial, by when it began: they follow each other without gap or overlap.

    Attributes:
        length_ms: Of windows in the long run; windows begin at multiples of their length.
        levels: Until what age shorter ones are made, and how long those are; the shortest first.
        grown_ms: The age from which on windows have their full length.
    """

    length_ms: int
    levels: tuple[tuple[int, int], ...]
    grown_ms: int

    @classmethod
    def of(cls, length_ms: int) -> "Windows":
        """The windows of a length; a level that would not divide it, or would be too short, is left out.

        >>> Windows.of(300_000).levels
        ((600000, 10000), (3600000, 60000))
        """
        levels = tuple(
            (length_ms * age, length_ms // parts)
            for age, parts in LEVELS
            if not length_ms % parts and length_ms // parts >= SHORTEST_MS
        )
        return cls(length_ms, levels, levels[-1][0] if levels else 0)

    def began(self, first_ms: int) -> int:
        """When a trial began, from the time of a first record: the same for all that come within one full window."""
        return first_ms - first_ms % self.length_ms

    def start(self, began_ms: int, time_ms: int) -> int:
        """When the window of a moment begins.

        >>> windows = Windows.of(300_000)
        >>> windows.start(0, 25_000), windows.start(0, 700_000), windows.start(0, 4_000_000), windows.start(900_000, 1)
        (20000, 660000, 3900000, 0)
        """
        age = time_ms - began_ms
        if 0 <= age < self.grown_ms:
            for until, length in self.levels:
                if age < until:
                    return time_ms - time_ms % length
        return time_ms - time_ms % self.length_ms
