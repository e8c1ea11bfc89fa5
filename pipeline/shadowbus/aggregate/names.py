"""Names that come up in the records of a trial, as small whole numbers, and only so many of them.

A model that answers something without end must not fill the memory: the first `most` names are kept apart, in the order
in which they appear, and whatever comes later is `(other)`. Nothing is cut when totals are merged, so merging stays a
sum; a summary shows the most frequent ones.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from shadowbus.compare.class_name import class_name

OTHER = "(other)"
LONGEST = 100
MOST_SPELLINGS = 1_000


@dataclass(slots=True)
class Names:
    """The names of one kind, by their codes; code 0 is `(other)`.

    >>> names = Names(1)
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


@dataclass(slots=True)
class Classes:
    """Answers and labels as classes: whatever they look like, by the name of the class they stand for.

    >>> classes = Classes(Names(20))
    >>> classes.code(True), classes.code("1"), classes.code(1.0), classes.code(None)
    (1, 1, 1, -1)
    """

    names: Names
    texts: dict[object, str | None] = field(default_factory=dict)
    known: dict[object, int] = field(default_factory=lambda: {None: -1})

    def code(self, value: object) -> int:
        """The code of the class; -1 when the value names none."""
        try:
            return self.known[value]
        except (KeyError, TypeError):  # new, or a list
            return self._learn(value)

    def text(self, value: object) -> str | None:
        """The name of the class, even of one that is not kept."""
        try:
            return self.texts[value]
        except (KeyError, TypeError):
            text = class_name(value)
            if value.__class__ not in (list, dict) and len(self.texts) < MOST_SPELLINGS:
                self.texts[value] = text
            return text

    def _learn(self, value: object) -> int:
        text = class_name(value)
        code = -1 if text is None else self.names.code(text)
        if isinstance(value, str | int | float) and len(self.known) < MOST_SPELLINGS:
            self.known[value] = code
        return code
