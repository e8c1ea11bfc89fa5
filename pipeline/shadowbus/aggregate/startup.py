"""Has the shadow begun to run? What it fails on before that is its set-up, not its rate of failures.

Of each source partition the rows it was asked are followed in their order, from the first. An answer adds `ANSWER` to
the balance, a failure takes 1, so it falls where 95 % or more fail. At `RUNS` the shadow runs, and this is over for
good. At `STALLS` (ten failures in a row, say) it is stalled, until it is `RUNS` above its lowest point. Rows from
before are then left out of the rate of failures; rows of a partition that was never stalled are not.

Where a trial begins to count depends on what came before only, so what is shown of the rows after it holds as if the
trial had begun there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

ANSWER = 19
RUNS = 10 * ANSWER
STALLS = -10


@dataclass(slots=True)
class Startup:
    """The start of one trial in one source partition. `held` are rows and failed rows, and the excess of both weights.

    >>> beginning = Startup()
    >>> for failed in [True] * 12 + [False] * 10:
    ...     beginning.take(failed=failed, excess=0.0)
    >>> beginning.open, {name: amounts[0] for name, amounts in beginning.take_news().items() if amounts[0]}
    (False, {'left_out': 22.0, 'left_out_failed': 12.0})
    """

    open: bool = True
    stalled: bool = False
    balance: int = 0
    held: list[float] = field(default_factory=lambda: [0.0] * 4)
    news: dict[str, list[float]] = field(default_factory=dict)

    def take(self, *, failed: bool, excess: float) -> None:
        """The next row that the shadow was asked, while this is open.

        Args:
            failed: Whether it gave no answer.
            excess: By how much the row's weight is above 1.
        """
        row = [1.0, float(failed), excess, excess * failed]
        self.held = [one + more for one, more in zip(self.held, row, strict=True)]
        self._count("stalled" if self.stalled else "unsettled", row)
        self.balance += -1 if failed else ANSWER
        if self.stalled:
            self.balance = max(0, self.balance)
        elif self.balance <= STALLS:
            self._move("unsettled", "stalled")
            self.stalled, self.balance = True, 0
        if self.balance >= RUNS:
            self._move("stalled" if self.stalled else "unsettled", "left_out" if self.stalled else "")
            self.open, self.stalled, self.held = False, False, [0.0] * 4

    def take_news(self) -> dict[str, list[float]]:
        """What to add to each counter since the last call: rows, and the excess of their weights over 1."""
        news, self.news = self.news, {}
        return news

    def to_record(self) -> dict[str, object]:
        """The form in a partial; empty once the shadow runs."""
        return {"stalled": self.stalled, "balance": self.balance, "held": self.held} if self.open else {}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it back. A partial without it is of a shadow that runs, or of an older writer, who counted all rows.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        if not record:
            return cls(open=False)
        rows, failed, excess, failed_excess = map(float, record["held"])
        return cls(True, bool(record["stalled"]), int(record["balance"]), [rows, failed, excess, failed_excess])

    def _move(self, source: str, target: str) -> None:
        self._count(source, [-one for one in self.held])
        if target:
            self._count(target, self.held)

    def _count(self, name: str, amounts: list[float]) -> None:
        rows, failed, excess, failed_excess = amounts
        for counter, more in ((name, (rows, excess)), (f"{name}_failed", (failed, failed_excess))):
            before = self.news.setdefault(counter, [0.0, 0.0])
            self.news[counter] = [one + another for one, another in zip(before, more, strict=True)]
