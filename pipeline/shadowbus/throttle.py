"""Logs that stay short whatever happens: a broker that is away is news once, not at every try of every client.

Lines of one kind (the same words but for their numbers) share an allowance, and so do all lines of a process. What
passes says how much was left out before it. Nothing critical is ever left out.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

KINDS = 500
"""Kinds that are remembered; of more than that the ones seen longest ago are news again."""

MOST_WORDS = 200
"""Characters of a line that tell its kind."""

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(slots=True)
class Allowance:
    """So many at once, and afterwards one each time so many seconds have gone by (a token bucket).

    Attributes:
        most: How many may come at once.
        seconds: After how long there may be one more.
    """

    most: float
    seconds: float
    left: float = field(init=False)
    as_of: float | None = None
    kept_back: int = 0
    since: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.most

    def take(self, now: float) -> bool:
        """Whether one more may pass now, in seconds on any clock; one that steps back does no harm."""
        passed = 0.0 if self.as_of is None else max(0.0, now - self.as_of)
        self.as_of = now
        self.left = min(self.most, self.left + passed / self.seconds)
        if self.left < 1.0:
            self.since = self.since if self.kept_back else now
            self.kept_back += 1
            return False
        self.left -= 1.0
        return True

    def owed(self, now: float) -> tuple[int, float]:
        """How many were kept back since this was last asked, and over how many seconds."""
        count, seconds = self.kept_back, max(0.0, now - self.since) if self.kept_back else 0.0
        self.kept_back = 0
        return count, seconds


class Throttle(logging.Filter):
    """Lets the first lines of each kind pass, then one of them each ten seconds; and a few lines a second in all.

    Put it on a handler, for all that is logged there, or on loggers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._all = Allowance(30, 0.5)
        self._kinds: OrderedDict[tuple[str, int, str], Allowance] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is shown; one that is says what was not."""
        words, now = record.getMessage(), record.created
        kind = self._kind(record, words)
        if record.levelno < logging.CRITICAL and not (kind.take(now) and self._all.take(now)):
            return False
        notes = [_note(*kind.owed(now), "more like it"), _note(*self._all.owed(now), "others left out")]
        if told := " ".join(filter(None, notes)):
            record.msg, record.args = f"{words} {told}", None
        return True

    def _kind(self, record: logging.LogRecord, words: str) -> Allowance:
        name = (record.name, record.levelno, _NUMBERS.sub("0", words[:MOST_WORDS]))
        kind = self._kinds.pop(name, None) or Allowance(3, 10.0)
        self._kinds[name] = kind
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        return kind


def throttle(packages: Iterable[str]) -> None:
    """Throttle every logger of these packages that there is by now, whoever set up the handlers."""
    one, names = Throttle(), tuple(packages)
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.PlaceHolder) or name.partition(".")[0] not in names:
            continue
        if not any(isinstance(kept, Throttle) for kept in logger.filters):
            logger.addFilter(one)


def _note(count: int, seconds: float, what: str) -> str:
    return f"({count:,} {what} in {seconds:.0f} s)" if count else ""
