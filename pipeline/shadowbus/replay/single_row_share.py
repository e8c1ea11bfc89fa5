"""How many rows are asked alone, by what verdicts wait for. Pure.

In: verdicts as they come. Out: the share of the model's time for single rows. Guaranteed: it stays between a quarter of
the share in the settings and four times it, and never above a half; without verdicts it is that of the settings.
"""

from collections.abc import Mapping

from shadowbus.errors import Malformed
from shadowbus.records import Verdict
from shadowbus.records.published import read_verdict
from shadowbus.settings import ShadowSettings
from shadowbus.trials import shadow_of

ON_SINGLE_ROWS = ("over_budget", "slower_than_control")
"""The criteria that rest on single rows."""

MORE, FEWER, MOST = 4.0, 0.25, 0.5


class SingleRowShare:
    """Follows verdicts on behalf of one shadow; a control is timed as much as whatever is held against it.

    Args:
        shadow: The shadow.
        share: The share in the settings.
    """

    def __init__(self, shadow: ShadowSettings, share: float) -> None:
        self.shadow, self.usual = shadow, share
        self._factors: dict[str, tuple[int, float]] = {}  # by shadow, of its verdict that was decided last

    @property
    def share(self) -> float:
        """The share now."""
        factor = max((factor for _, factor in self._factors.values()), default=1.0)
        return min(max(self.usual, MOST), self.usual * factor)

    def take(self, value: bytes) -> bool:
        """Take a record of the verdicts topic; whether it is a verdict that matters here."""
        try:
            verdict = read_verdict(value)
        except Malformed:  # not a verdict, but what was done about one, or anything
            return False
        name = shadow_of(verdict.trial)
        if not self._concerned(name, verdict) or verdict.decided_ms < self._factors.get(name, (0, 0.0))[0]:
            return False
        self._factors[name] = verdict.decided_ms, factor_of(verdict)
        return True

    def _concerned(self, name: str, verdict: Verdict) -> bool:
        against_control = any(
            isinstance(one, Mapping) and one.get("name") == "slower_than_control" for one in verdict.criteria
        )
        return name == self.shadow.name or (self.shadow.control and against_control)


def factor_of(verdict: Verdict) -> float:
    """More where PROMOTE waits for single rows and nothing else, fewer where they have shown what they can."""
    states = {
        str(one.get("name")): one.get("state")
        for one in verdict.criteria
        if isinstance(one, Mapping) and ":" not in str(one.get("name"))  # a guard needs no yes
    }
    mine = {states.pop(name) for name in ON_SINGLE_ROWS if name in states}
    if not mine or verdict.fault:
        return 1.0
    if "open" not in mine:
        return FEWER
    return MORE if all(state == "holds" for state in states.values()) else 1.0
