"""Which segments of a trial are kept: named slices such as `country=DE`, and only so many of them.

A service that names a segment after something without end, such as a customer, must not fill the memory: the first
`MOST` values of a trial are kept apart, what comes later is counted as `name=other`. Windows are kept for the first
`MOST_WINDOWED` values only, as there are hundreds of them for each.
"""

from dataclasses import dataclass, field

MOST = 200
MOST_WINDOWED = 20
MOST_NAMES = 50
LONGEST = 100
OTHER = "other"
ALL = "all"
VITALS = "vitals"
"""In place of a segment in the key of a partial: the record is the vitals of a stage."""


@dataclass(slots=True)
class Segments:
    """The segments of one trial as one source partition has seen them, in the order of their appearance.

    >>> segments = Segments()
    >>> segments.text("country", "DE"), segments.text("premium", True), segments.text("tags", [1])
    ('country=DE', 'premium=true', '')
    """

    kept: dict[str, None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    known: dict[tuple[str, object], str] = field(default_factory=dict)
    windowed: set[str] = field(default_factory=lambda: {ALL})

    def text(self, name: str, value: object) -> str:
        """The segment of one value, `` for what cannot be one: not text, integer or boolean, too long, or with `|`."""
        if isinstance(value, bool):
            plain = "true" if value else "false"
        elif isinstance(value, str | int):
            plain = str(value)
        else:
            return ""
        if max(len(name), len(plain)) > LONGEST or "|" in name or "|" in plain or "=" in name:
            return ""
        text = f"{name}={plain}"
        if text in self.kept or (len(self.kept) < MOST and self._admit(text)):
            if isinstance(value, str):
                self.known[name, value] = text
            return text
        return f"{name}={OTHER}" if name in self.names else ""

    def keep(self, text: str) -> None:
        """Remember a segment that was kept before."""
        if text != ALL and text not in self.kept:
            self._admit(text)

    def _admit(self, text: str) -> bool:
        name = text.partition("=")[0]
        if name not in self.names and len(self.names) >= MOST_NAMES:
            return False
        self.names.add(name)
        self.kept[text] = None
        if len(self.windowed) <= MOST_WINDOWED:
            self.windowed.add(text)
        return True
