"""What is to be done about one verdict, and what a way of doing it has to offer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shadowbus.errors import ShadowbusError
from shadowbus.records import Verdict
from shadowbus.story.figures import anything
from shadowbus.trials import TrialName


class NotDone(ShadowbusError):
    """It did not work; nothing else was done, and it may be tried again under the same key."""


@dataclass(frozen=True, slots=True)
class Order:
    """One action on one trial. `key` is the same for each try; `report` is the file that goes with it."""

    action: str
    verdict: Verdict
    key: str
    by: str
    report: Path | None = None

    @property
    def trial(self) -> str:
        """The trial's name."""
        return self.verdict.trial

    @property
    def champion(self) -> str:
        """The live model, with its version."""
        return TrialName.parse(self.trial).live

    @property
    def model(self) -> str:
        """The shadow, with its version."""
        return TrialName.parse(self.trial).model

    @property
    def version(self) -> str:
        """The shadow's version."""
        return TrialName.parse(self.trial).version

    @property
    def reason(self) -> str:
        """Why, in a line."""
        wanted = "fails" if self.action == "send_back" else "holds"
        shown = [one for one in self.verdict.criteria if isinstance(one, Mapping) and one.get("state") == wanted]
        return f"{self.verdict.verdict.replace('_', ' ')}: " + "; ".join(map(_criterion, shown[:MOST_CRITERIA]))


@dataclass(frozen=True, slots=True)
class Done:
    """What was found and done: in words, and for programs."""

    told: str
    detail: Mapping[str, object] = field(default_factory=dict)


class Means(Protocol):
    """One way of acting."""

    def plan(self, order: Order) -> Done:
        """What would be done, in words, and what is there now; changes nothing.

        Raises:
            NotDone: It cannot be done.
        """

    def act(self, order: Order) -> Done:
        """Do it; doing it again changes nothing more.

        Raises:
            NotDone: It did not work.
        """


MOST_CRITERIA = 6


def _criterion(one: Mapping[str, object]) -> str:
    interval = f"{anything(one.get('low'))} to {anything(one.get('high'))}"
    return f"{one.get('name')} {anything(one.get('value'))} ({interval}), limit {anything(one.get('limit'))}"
