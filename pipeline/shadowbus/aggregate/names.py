"""Names from the records of a trial, coded as small integers and limited in number.

A model that answers something without end must not fill the memory: the first `most` names are kept apart, in the order
in which they appear, and whatever comes later is `(other)`. Nothing is cut when totals are merged, so merging stays a
sum; a summary shows the most frequent ones.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from shadowbus.statistics.contingency_table import OTHER

LONGEST = 100


@dataclass(slots=True)
class NameCodes:
    """The names of one kind, by their codes; code 0 is `(other)`.

    >>> names = NameCodes(1)
    >>> names.code("age"), names.code("income"), names.code("age"), names.names
    (1, 0, 1, ['(other)', 'age'])
    """

    most: int
    always: Collection[str] = ()
    longest: int = LONGEST
    names: list[str] = field(default_factory=lambda: [OTHER])
    codes: dict[str, int] = field(default_factory=dict)

    def code(self, name: str) -> int:
        """The code of a name; it is kept if there is room, or if it is one of `always`."""
        code = self.codes.get(name)
        if code is None:
            if len(name) > self.longest or (len(self.names) > self.most and name not in self.always):
                return 0
            code = self.codes[name] = len(self.names)
            self.names.append(name)
        return code

    def keep(self, names: Iterable[str]) -> None:
        """Take back names that were kept before, in their order."""
        for name in names:
            if name not in self.codes and name != OTHER:
                self.codes[name] = len(self.names)
                self.names.append(name)
