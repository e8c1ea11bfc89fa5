"""What is wrong in the records of one trial in one source partition: has it begun to run, and why are rows no use?

In: comparisons and outcomes in their order, as they are read. Out: what they add to the totals of the whole trial.
Records in which nothing is wrong cost nothing here, but for the first few of a trial.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shadowbus.aggregate.names import NameCodes
from shadowbus.aggregate.startup import Startup
from shadowbus.records import SHADOW_FAILURES
from shadowbus.statistics.contingency_table import OTHER
from shadowbus.totals.detailed import DetailedTotals
from shadowbus.totals.reasons import ABOUT, FAILED, LIVE, LONGEST, MOST, UNJUDGED, UNLIKE, Parts, Reasons, form
from shadowbus.totals.totals import INDEX, Totals
from shadowbus.totals.weights import FINEST, Weights

MOST_TEXTS = 200


@dataclass(slots=True)
class Failures:
    """`kept` are the forms kept apart, by what they are about; `news` what came since it was last taken."""

    beginning: Startup = field(default_factory=Startup)
    kept: dict[str, NameCodes] = field(
        default_factory=lambda: {about: NameCodes(MOST, longest=LONGEST) for about in ABOUT}
    )
    news: Reasons = field(default_factory=Reasons)
    forms: dict[str, tuple[str, Parts]] = field(default_factory=dict)

    def compared(self, parsed: Mapping[str, Any], weight: float, *, unlike: bool) -> None:
        """Take a comparison in which something is wrong, or any while the shadow has not begun to run.

        Args:
            parsed: The record.
            weight: Its weight.
            unlike: Whether both models answered and the answers cannot be compared.
        """
        status, live, shadow = parsed["status"], parsed["live"], parsed["shadow"]
        text = None if shadow is None else shadow["error"]
        failed = text is not None or status in SHADOW_FAILURES
        if failed:
            self._note(FAILED, _said(text, status))
        if self.beginning.open and status != "request_missing":
            self.beginning.take(failed=failed, excess=round(weight * FINEST) / FINEST - 1.0)
        if status == "live_error" and live is not None:
            self._note(LIVE, _said(live["error"], status))
        if unlike:
            answers = (_shape(None if side is None else side.get("prediction")) for side in (live, shadow))
            self._note(UNLIKE, "the live model answers {} and the shadow {}".format(*answers))

    def judged(self, parsed: Mapping[str, Any], sign: int) -> None:
        """Take an outcome that says of neither model whether it was right; sign -1 takes it back."""
        live = (parsed.get("live") or {}).get("prediction")
        self._note(UNJUDGED, f"the label is {_shape(parsed.get('label'))} and the live answer {_shape(live)}", sign)

    def onto(self, totals: Totals) -> None:
        """Add what came since the last call to the totals of the whole trial."""
        if moved := self.beginning.take_news():
            excess = np.zeros(len(INDEX))
            totals.counts = totals.counts.copy()
            for name, (rows, more) in moved.items():
                if name in INDEX:
                    totals.counts[INDEX[name]] += round(rows)
                    excess[INDEX[name]] += more
            if excess.any():
                totals.weights = totals.weights + Weights(excess, 1.0, 1.0, 1.0)
        if self.news:
            totals.absorb(Totals(details=DetailedTotals(reasons=self.news)))
            self.news = Reasons()

    def to_record(self) -> dict[str, list[str]]:
        """The forms that are kept apart, so that they are the same after a restart."""
        return {about: names.names[1:] for about, names in self.kept.items() if len(names.names) > 1}

    def keep(self, record: Mapping[str, Iterable[str]]) -> None:
        """Take them back."""
        for about, names in self.kept.items():
            names.keep(record.get(about, ()))

    def _note(self, about: str, text: str, count: int = 1) -> None:
        found = self.forms.get(text)
        if found is None:
            found = form(text)
            if len(self.forms) < MOST_TEXTS and len(text) <= LONGEST:
                self.forms[text] = found
        names = self.kept[about]
        if code := names.code(found[0]):
            self.news.add(about, names.names[code], found[1], count)
        else:
            self.news.add(about, OTHER, (), count)


def _said(error: object, otherwise: object) -> str:
    """An error's text; anybody may have written something else in its place, as deep as there are brackets."""
    return error if isinstance(error, str) and error else str(otherwise)


def _shape(value: object) -> str:
    """What kind of answer this is, for a sentence.

    >>> _shape([1, 2]), _shape("12,5"), _shape(None), _shape({"a": 1}), _shape(True), _shape(2.5)
    ('a list of 2', "the text '12,5'", 'null', 'an object of 1', 'a truth value', 'a number')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return f"the text '{value[:40]}'"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}"
        case _:
            return type(value).__name__
